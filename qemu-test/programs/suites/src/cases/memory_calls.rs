// SPDX-License-Identifier: GPL-2.0

//! Effects of mprotect, madvise, mremap and of the kernel's own access on mapped grants.
//!
//! The page-table entries of a paravirtual mapping are written by the hypervisor. A call that would
//! change them unmaps the grants instead. If the process keeps the pages, the grants are mapped
//! again when it accesses them; otherwise the entries stay empty, and an access is a bus error.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use guest_test::errno::EACCES;
use guest_test::errno::EFAULT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::mapping::Pipe;
use guest_test::pattern::Pattern;
use guest_test::platform::Driver;
use guest_test::process::in_child;
use guest_test::process::End;
use guest_test::signal::SIGBUS;
use guest_test::signal::SIGSEGV;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::settled;
use crate::world::World;

/// End of a process that accesses a page of a paravirtual mapping after it was unmapped.
const GONE: End = End::Signalled(SIGBUS);

rules![
    #[rule("write(2) takes data from a mapped grant")]
    fn write_from_mapping(world: &mut World) -> Verdict {
        let held = world.mapped(1, 80)?;
        let (mut reader, writer) = UnixStream::pair()?;
        let expected = held.mapping.read_vec(0, PAGE_SIZE);
        assert_eq!(held.mapping.write_to(writer.as_fd())?, PAGE_SIZE);
        let mut data = vec![0; PAGE_SIZE];
        reader.read_exact(&mut data)?;
        assert!(data == expected, "other bytes came out");
        Ok(())
    },

    #[rule("read(2) puts data into a mapped grant")]
    fn read_into_mapping(world: &mut World) -> Verdict {
        let held = world.mapped(1, 81)?;
        let source = Mapping::anonymous(1, Protection::ReadWrite)?;
        source.fill(82);
        let (reader, mut writer) = UnixStream::pair()?;
        writer.write_all(&source.read_vec(0, PAGE_SIZE))?;
        assert_eq!(held.mapping.read_from(reader.as_fd())?, PAGE_SIZE);
        world.assert_granter_sees(&held.share, 82);
        Ok(())
    },

    /// /proc/self/mem takes references to the pages themselves.
    #[rule("the kernel gets at the pages of a mapped grant")]
    fn page_access(world: &mut World) -> Verdict {
        let held = world.mapped(2, 83)?;
        let memory = File::options()
            .read(true)
            .write(true)
            .open("/proc/self/mem")?;
        let address = held.mapping.address() as u64;

        let mut data = vec![0; 2 * PAGE_SIZE];
        memory.read_exact_at(&mut data, address)?;
        assert!(
            data == held.mapping.read_vec(0, 2 * PAGE_SIZE),
            "other bytes came out"
        );

        memory.write_all_at(b"through the kernel", address + PAGE_SIZE as u64)?;
        assert_eq!(held.mapping.read_vec(PAGE_SIZE, 18), b"through the kernel");
        assert_eq!(world.granter.read(&held.share, PAGE_SIZE)?, b't');
        Ok(())
    },

    /// The pipe holds a reference to the page, not a copy. The grant is unmapped when the pipe has
    /// dropped it.
    #[rule("a page in a pipe stays whole after munmap")]
    fn page_in_pipe(world: &mut World) -> Verdict {
        if world.is_paravirtual() && world.driver == Driver::C {
            return skip_case("the C driver lets go of an entry that the hypervisor still holds");
        }
        let held = world.mapped(1, 84)?;
        let expected = held.mapping.read_vec(0, PAGE_SIZE);
        let mut pipe = Pipe::new()?;
        assert_eq!(pipe.take_pages(&held.mapping)?, PAGE_SIZE);
        held.mapping.unmap()?;
        held.device.remove(held.index, 1)?;
        drop(held.device);
        assert_eq!(in_use(&held.share.grants)?, 1);
        assert!(pipe.read(PAGE_SIZE)? == expected, "other bytes came out");
        assert_released(&held.share.grants);
        Ok(())
    },

    /// Tried with the end of the whole region, and in a paravirtual domain also of a part.
    #[rule("a page in a pipe does not keep its neighbours mapped")]
    #[expect_c_differs("unmaps none before it can unmap all")]
    fn neighbours_of_page_in_pipe(world: &mut World) -> Verdict {
        if world.is_paravirtual() && world.driver == Driver::C {
            return skip_case("the C driver lets go of an entry that the hypervisor still holds");
        }
        for part in [false, true] {
            if part && !world.is_paravirtual() {
                continue;
            }
            let mut held = world.mapped(6, 87)?;
            let last = held.mapping.split_off(5);
            let mut middle = held.mapping.split_off(2);
            let rest = middle.split_off(1);
            let expected = middle.read_vec(0, PAGE_SIZE);
            let mut pipe = Pipe::new()?;
            assert_eq!(pipe.take_pages(&middle)?, PAGE_SIZE);
            middle.join(rest);
            held.mapping.join(middle);
            let whole = if part {
                Some(last)
            } else {
                held.mapping.join(last);
                None
            };
            held.mapping.unmap()?;
            held.device.remove(held.index, 6)?;
            drop(held.device);
            let grants = &held.share.grants;
            let left = 1 + usize::from(part);
            settled(|usage| usage.count(grants) == left)?;
            assert_eq!(in_use(grants)?, left, "a part: {part}");
            assert_eq!(in_use(&grants[2..3])?, 1, "the page in the pipe");
            if let Some(last) = whole {
                last.unmap()?;
                settled(|usage| usage.count(grants) == 1)?;
                assert_eq!(in_use(grants)?, 1, "after the end of the region");
            }
            assert!(pipe.read(PAGE_SIZE)? == expected, "other bytes came out");
            assert_released(grants);
        }
        Ok(())
    },

    #[rule("mincore tells of a mapped grant")]
    fn residency(world: &mut World) -> Verdict {
        let held = world.mapped(3, 85)?;
        assert_eq!(held.mapping.residency()?.len(), 3);
        assert_eq!(held.mapping.first_difference(85), None);
        Ok(())
    },

    #[rule("mprotect to read-only stops writing")]
    #[expect_c_differs_on_pv("takes the pages from the process")]
    fn protect_from_writing(world: &mut World) -> Verdict {
        let change = |mapping: Mapping| mapping.protect(Protection::Read).map(|()| mapping);
        let read = touch(world, Protection::ReadWrite, change, |mapping| {
            assert_eq!(mapping.first_difference(86), None);
        })?;
        let write = touch(world, Protection::ReadWrite, change, |mapping| {
            mapping.write(0, 1);
        })?;
        assert_eq!(write, End::Signalled(SIGSEGV));
        assert_eq!(read, End::Exited(0));
        Ok(())
    },

    /// Tried on the second of two pages, which splits the mapping.
    #[rule("mprotect there and back leaves the pages")]
    #[expect_c_differs_on_pv("takes the pages from the process")]
    fn protect_and_back(world: &mut World) -> Verdict {
        for protection in [Protection::None, Protection::Read] {
            let change = |mut mapping: Mapping| -> io::Result<Mapping> {
                let second = mapping.split_off(1);
                second.protect(protection)?;
                if protection == Protection::Read {
                    second.read(0);
                }
                second.protect(Protection::ReadWrite)?;
                mapping.join(second);
                Ok(mapping)
            };
            let end = touch(world, Protection::ReadWrite, change, |mapping| {
                assert_eq!(mapping.first_difference(86), None);
                mapping.fill(86);
            })?;
            assert_eq!(end, End::Exited(0), "{protection:?}");
        }
        Ok(())
    },

    #[rule("a mapping made without access rights has none, and the pages when it gets some")]
    #[expect_c_differs_on_pv("makes the pages readable")]
    fn made_without_access(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 94)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, 2, Protection::None)?;
        let (_reader, writer) = UnixStream::pair()?;
        assert_error(mapping.write_to(writer.as_fd()), EFAULT, "access");
        mapping.protect(Protection::Read)?;
        assert_eq!(mapping.first_difference(94), None);
        mapping.unmap()?;
        device.remove(index, 2)?;
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("mprotect does not make a read-only mapping writable")]
    #[expect_c_differs("allows it, and the first write faults")]
    fn protect_for_writing(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 88)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, 1, Protection::Read)?;
        assert_error(mapping.protect(Protection::ReadWrite), EACCES, "mprotect");
        assert_eq!(mapping.first_difference(88), None);
        Ok(())
    },

    #[rule("mprotect does not make a private mapping writable")]
    #[expect_c_differs("allows it, and the first write copies the page or loses it")]
    fn protect_private(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 89)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = mapping::private(device.file(), index, 1, Protection::Read)?;
        assert_error(mapping.protect(Protection::ReadWrite), EACCES, "mprotect");
        assert_eq!(mapping.first_difference(89), None);
        Ok(())
    },

    #[rule("madvise lets go of the pages")]
    fn discarded(world: &mut World) -> Verdict {
        assert_discarded(world, Ok)
    },

    #[rule("mremap moves a mapping")]
    fn moved(world: &mut World) -> Verdict {
        assert_moved(world, Ok)
    },

    #[rule("mremap does not grow a mapping")]
    fn not_grown(world: &mut World) -> Verdict {
        let mut held = world.mapped(2, 87)?;
        assert_error(held.mapping.grow(), EFAULT, "growing");
        assert_eq!(held.mapping.first_difference(87), None);
        Ok(())
    }
];

/// Fails the case unless madvise(2) lets go of the pages of a mapping, after `before` was done to
/// it.
pub(super) fn assert_discarded(
    world: &mut World,
    before: impl FnOnce(Mapping) -> io::Result<Mapping>,
) -> Verdict {
    let change = |mapping: Mapping| -> io::Result<Mapping> {
        let mapping = before(mapping)?;
        mapping.discard().map(|()| mapping)
    };
    let end = touch(world, Protection::ReadWrite, change, |mapping| {
        mapping.read(PAGE_SIZE);
    })?;
    assert_eq!(end, GONE);
    Ok(())
}

/// Fails the case unless mremap(2) moves a mapping, after `before` was done to it. In a paravirtual
/// domain the process then loses the pages.
pub(super) fn assert_moved(
    world: &mut World,
    before: impl FnOnce(Mapping) -> io::Result<Mapping>,
) -> Verdict {
    let change = |mapping: Mapping| before(mapping).and_then(Mapping::relocate);
    let end = touch(world, Protection::ReadWrite, change, |mapping| {
        assert_eq!(mapping.first_difference(86), None);
    })?;
    let expected = if world.is_paravirtual() {
        GONE
    } else {
        End::Exited(0)
    };
    assert_eq!(end, expected);
    Ok(())
}

/// Maps two pages in a child process, makes `change` to the mapping and calls `touch` on it.
/// Returns the end of the child. The granter's pages must have the pattern of 86 in the end.
pub(super) fn touch(
    world: &mut World,
    protection: Protection,
    change: impl FnOnce(Mapping) -> io::Result<Mapping>,
    touch: impl FnOnce(&Mapping),
) -> Result<End, Stop> {
    let share = world.share(2)?;
    world.granter.fill(&share, 86)?;
    let end = in_child(|| {
        let device = Gntdev::open().expect("open");
        let index = device.insert(&share.grants).expect("insert");
        let mapping = device.map(index, 2, protection).expect("map");
        let mapping = change(mapping).expect("the change");
        touch(&mapping);
    })?;
    assert_released(&share.grants);
    world.assert_granter_sees(&share, 86);
    Ok(end)
}
