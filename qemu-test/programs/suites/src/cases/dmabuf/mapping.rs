// SPDX-License-Identifier: GPL-2.0

//! What a program may do with a mapping of an exported dma-buf.
//!
//! In a paravirtual domain its page-table entries are the hypervisor's work, as
//! those of a region: a child process does not get them.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use xen_guest::errno::EACCES;
use xen_guest::errno::EINVAL;
use xen_guest::errno::ENOMEM;
use xen_guest::errno::ETIMEDOUT;
use xen_guest::ktap::Verdict;
use xen_guest::mapping::Mapping;
use xen_guest::mapping::Pipe;
use xen_guest::mapping::Protection;
use xen_guest::mapping::Sharing;
use xen_guest::process::in_child;
use xen_guest::process::End;
use xen_guest::signal::SIGBUS;
use xen_guest::signal::SIGSEGV;
use xen_guest::PAGE_SIZE;

use super::assert_ends;
use super::exported;
use super::exported_as;
use super::KINDS;
use super::NO_EXPORT;
use crate::cases::limits::Limit;
use crate::random::Random;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

type Change = fn(Mapping) -> std::io::Result<Mapping>;

const CHANGES: [(&str, Change); 4] = [
    ("mremap", Mapping::relocate),
    ("mprotect", |mapping| {
        mapping.protect(Protection::Read).map(|()| mapping)
    }),
    ("mprotect there and back", |mapping| {
        mapping.protect(Protection::None)?;
        mapping.protect(Protection::ReadWrite)?;
        Ok(mapping)
    }),
    ("madvise", |mapping| mapping.discard().map(|()| mapping)),
];

rules![
    #[rule("a part of a buffer is mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn part(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let held = exported_as(world, flags, 6, 400)?;
            let middle = held.buffer.map_part(2, 3, Protection::ReadWrite)?;
            let last = held.buffer.map_part(5, 1, Protection::ReadWrite)?;
            let difference = middle.first_difference_from(2 * PAGE_SIZE, 400);
            assert_eq!(difference, None, "{kind} memory");
            let difference = last.first_difference_from(5 * PAGE_SIZE, 400);
            assert_eq!(difference, None, "{kind} memory");
            middle.write(PAGE_SIZE + 9, 31);
            assert_eq!(world.granter.read(&held.share, 3 * PAGE_SIZE + 9)?, 31);
        }
        Ok(())
    },

    #[rule("a buffer is mapped several times")]
    #[expect_c_differs(NO_EXPORT)]
    fn several_times(world: &mut World) -> Verdict {
        let held = exported(world, 3, 401)?;
        let first = held.buffer.map(3)?;
        let second = held.buffer.map(3)?;
        let part = held.buffer.map_part(1, 1, Protection::ReadWrite)?;
        assert_ne!(first.address(), second.address());
        first.fill(402);
        assert_eq!(second.first_difference(402), None);
        assert_eq!(part.first_difference_from(PAGE_SIZE, 402), None);
        part.write(0, 3);
        assert_eq!(first.read(PAGE_SIZE), 3);
        assert_eq!(second.read(PAGE_SIZE), 3);
        Ok(())
    },

    /// Who has a buffer can map it without the device, but not until the hypervisor's
    /// table of mappings is full.
    #[rule("mappings of a buffer use up no more than its limit")]
    #[expect_c_differs(NO_EXPORT)]
    fn too_many_times(world: &mut World) -> Verdict {
        let held = exported(world, 4, 440)?;
        if !world.is_paravirtual() {
            return skip_case("an auto-translated mapping takes nothing of the hypervisor");
        }
        let limit = Limit::of(world)?;
        limit.set("10")?;
        let mut mappings = vec![held.buffer.map(4)?, held.buffer.map(4)?];
        let result = held.buffer.map(4);
        assert_error(result, ENOMEM, "12 pages, limit 10");
        mappings.push(held.buffer.map_part(1, 2, Protection::Read)?);
        let result = held.buffer.map_part(0, 1, Protection::Read);
        assert_error(result, ENOMEM, "11 pages, limit 10");
        mappings[0].split_off(2).unmap()?;
        let result = held.buffer.map_part(0, 1, Protection::Read);
        assert_error(result, ENOMEM, "a part of a mapping is left");
        drop(mappings.remove(0));
        mappings.push(held.buffer.map(4)?);
        for mapping in [&mappings[0], &mappings[2]] {
            assert_eq!(mapping.first_difference(440), None);
        }
        // A whole buffer is never too much.
        mappings.clear();
        limit.set("1")?;
        assert_eq!(held.buffer.map(4)?.first_difference(440), None);
        Ok(())
    },

    #[rule("a buffer is mapped again after munmap")]
    #[expect_c_differs(NO_EXPORT)]
    fn again(world: &mut World) -> Verdict {
        let held = exported(world, 2, 403)?;
        for seed in 404..420 {
            let mapping = held.buffer.map(2)?;
            assert_eq!(mapping.first_difference(seed - 1), None);
            mapping.fill(seed);
            mapping.unmap()?;
        }
        world.assert_granter_sees(&held.share, 419);
        Ok(())
    },

    #[rule("a mapping beyond the end is EINVAL")]
    #[expect_c_differs(NO_EXPORT)]
    fn beyond_end(world: &mut World) -> Verdict {
        let held = exported(world, 2, 420)?;
        for (first, pages) in [(0, 3), (1, 2), (2, 1), (1 << 32, 1), ((1 << 50) - 1, 1)] {
            let result = held.buffer.map_part(first, pages, Protection::Read);
            assert_error(result, EINVAL, &format!("{pages} pages from page {first}"));
        }
        assert_eq!(held.buffer.map(2)?.first_difference(420), None);
        Ok(())
    },

    #[rule("a read-only mapping reads")]
    #[expect_c_differs(NO_EXPORT)]
    fn read_only(world: &mut World) -> Verdict {
        let held = exported(world, 2, 421)?;
        let reader = held.buffer.map_part(0, 2, Protection::Read)?;
        let writer = held.buffer.map(2)?;
        assert_eq!(reader.first_difference(421), None);
        writer.fill(422);
        assert_eq!(reader.first_difference(422), None);
        Ok(())
    },

    #[rule("a write to a read-only mapping faults")]
    #[expect_c_differs(NO_EXPORT)]
    fn write_to_read_only(world: &mut World) -> Verdict {
        let held = exported(world, 1, 423)?;
        let end = in_child(|| {
            let mapping = held.buffer.map_part(0, 1, Protection::Read).expect("map");
            mapping.write(0, 1);
        })?;
        assert_eq!(end, End::Signalled(SIGSEGV));
        world.assert_granter_sees(&held.share, 423);
        Ok(())
    },

    /// Its writes would have to go to copies of the pages.
    #[rule("a private mapping for writing is EINVAL")]
    #[expect_c_differs(NO_EXPORT)]
    fn private_for_writing(world: &mut World) -> Verdict {
        let held = exported(world, 1, 424)?;
        let file = held.buffer.as_fd();
        let result = Mapping::of_file(file, 0, 1, Protection::ReadWrite, Sharing::Private);
        assert_error(result, EINVAL, "a private mapping for writing");
        world.assert_granter_sees(&held.share, 424);
        Ok(())
    },

    #[rule("munmap of the first page leaves the rest")]
    #[expect_c_differs(NO_EXPORT)]
    fn first_page_unmapped(world: &mut World) -> Verdict {
        let held = exported(world, 4, 425)?;
        let mut mapping = held.buffer.map(4)?;
        let rest = mapping.split_off(1);
        mapping.unmap()?;
        assert_eq!(rest.first_difference_from(PAGE_SIZE, 425), None);
        rest.write(0, 8);
        assert_eq!(world.granter.read(&held.share, PAGE_SIZE)?, 8);
        drop((rest, held.buffer));
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("munmap of the middle leaves both ends")]
    #[expect_c_differs(NO_EXPORT)]
    fn middle_unmapped(world: &mut World) -> Verdict {
        let held = exported(world, 5, 426)?;
        let mut first = held.buffer.map(5)?;
        let mut middle = first.split_off(1);
        let last = middle.split_off(3);
        middle.unmap()?;
        // The buffer still has all of its pages.
        assert_eq!(held.buffer.map(5)?.first_difference(426), None);
        assert_eq!(first.first_difference_from(0, 426), None);
        assert_eq!(last.first_difference_from(4 * PAGE_SIZE, 426), None);

        // The mappings alone keep the buffer.
        let number = held.buffer.number();
        drop(held.buffer);
        assert_eq!(last.first_difference_from(4 * PAGE_SIZE, 426), None);
        last.unmap()?;
        assert_eq!(first.first_difference_from(0, 426), None);
        first.unmap()?;
        assert_ends(&held.device, number);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("pages are unmapped one by one in any order")]
    #[expect_c_differs(NO_EXPORT)]
    fn one_by_one(world: &mut World) -> Verdict {
        of_all_kinds(world, one_by_one_of)
    },

    #[rule("mappings are unmapped in any order")]
    #[expect_c_differs(NO_EXPORT)]
    fn mappings_in_any_order(world: &mut World) -> Verdict {
        let held = exported(world, 4, 428)?;
        let mut random = Random::new(10);
        let mut mappings: Vec<(usize, Mapping)> = Vec::new();
        for _ in 0..20 {
            let first = random.below(4);
            let pages = 1 + random.below(4 - first);
            let mapping = held.buffer.map_part(first, pages, Protection::ReadWrite)?;
            mappings.push((first, mapping));
        }
        random.shuffle(&mut mappings);
        drop(held.buffer);
        drop(held.device);
        while let Some((_, mapping)) = mappings.pop() {
            mapping.unmap()?;
            for (first, mapping) in &mappings {
                let difference = mapping.first_difference_from(first * PAGE_SIZE, 428);
                assert_eq!(difference, None, "{} mappings left", mappings.len());
            }
        }
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("munmap of a part leaves other mappings whole")]
    #[expect_c_differs(NO_EXPORT)]
    fn part_beside_whole(world: &mut World) -> Verdict {
        let held = exported(world, 3, 429)?;
        let mut first = held.buffer.map(3)?;
        let second = held.buffer.map(3)?;
        first.split_off(1).unmap()?;
        assert_eq!(second.first_difference(429), None);
        second.fill(430);
        assert_eq!(first.first_difference(430), None);
        world.assert_granter_sees(&held.share, 430);
        Ok(())
    },

    #[rule("a child process sees the mapping")]
    #[expect_c_differs(NO_EXPORT)]
    fn child_sees_mapping(world: &mut World) -> Verdict {
        of_all_kinds(world, child_sees_mapping_of)
    },

    #[rule("a child process has no paravirtual mapping")]
    #[expect_c_differs(NO_EXPORT)]
    fn child_has_no_mapping(world: &mut World) -> Verdict {
        let held = exported(world, 1, 433)?;
        if !world.is_paravirtual() {
            return skip_case("an auto-translated mapping is copied to a child");
        }
        let mapping = held.buffer.map(1)?;
        let end = in_child(|| {
            mapping.read(0);
        })?;
        assert_eq!(end, End::Signalled(SIGSEGV));
        assert_eq!(mapping.first_difference(433), None);
        Ok(())
    },

    #[rule("a child process maps the buffer itself")]
    #[expect_c_differs(NO_EXPORT)]
    fn child_maps(world: &mut World) -> Verdict {
        let held = exported(world, 2, 434)?;
        let mapping = held.buffer.map(2)?;
        let end = in_child(|| {
            let own = held.buffer.map(2).expect("map");
            assert_eq!(own.first_difference(434), None);
            own.fill(435);
        })?;
        assert_eq!(end, End::Exited(0));
        assert_eq!(mapping.first_difference(435), None);
        Ok(())
    },

    /// The change may be refused. If not, a page may be gone afterwards, or be there
    /// with its own data. Nothing else may be there, the buffer stays whole, and
    /// nothing is left behind.
    #[rule("mremap, mprotect and madvise harm nobody")]
    #[expect_c_differs(NO_EXPORT)]
    fn changes(world: &mut World) -> Verdict {
        of_all_kinds(world, changes_of)
    },

    #[rule("mremap does not grow a mapping")]
    #[expect_c_differs(NO_EXPORT)]
    fn not_grown(world: &mut World) -> Verdict {
        let held = exported(world, 2, 437)?;
        let mut mapping = held.buffer.map(2)?;
        assert!(mapping.grow().is_err(), "the mapping grew");
        assert_eq!(mapping.first_difference(437), None);
        Ok(())
    },

    /// To the hypervisor a page of a paravirtual domain stays read-only.
    #[rule("a read-only mapping is made writable where it can be")]
    #[expect_c_differs(NO_EXPORT)]
    fn made_writable(world: &mut World) -> Verdict {
        let held = exported(world, 1, 439)?;
        let mapping = held.buffer.map_part(0, 1, Protection::Read)?;
        let result = mapping.protect(Protection::ReadWrite);
        if world.is_paravirtual() {
            assert_error(result, EACCES, "mprotect");
            assert_eq!(mapping.first_difference(439), None);
            return Ok(());
        }
        result?;
        mapping.fill(440);
        world.assert_granter_sees(&held.share, 440);
        Ok(())
    },

    /// The page itself is in the pipe, not a copy.
    #[rule("a page in a pipe puts off the end of its buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn page_in_pipe(world: &mut World) -> Verdict {
        let held = exported(world, 1, 441)?;
        let number = held.buffer.number();
        let mapping = held.buffer.map(1)?;
        let expected = mapping.read_vec(0, PAGE_SIZE);
        let mut pipe = Pipe::new()?;
        assert_eq!(pipe.take_pages(&mapping)?, PAGE_SIZE);
        drop((mapping, held.buffer));
        let result = held.device.wait_released(number, 100);
        assert_error(result, ETIMEDOUT, "the page is in the pipe");
        assert_eq!(in_use(&held.share.grants)?, 1);
        assert!(pipe.read(PAGE_SIZE)? == expected, "other bytes came out");
        assert_ends(&held.device, number);
        assert_eq!(in_use(&held.share.grants)?, 0);
        Ok(())
    },

    #[rule("read(2) and write(2) move data of a mapping")]
    #[expect_c_differs(NO_EXPORT)]
    fn kernel_access(world: &mut World) -> Verdict {
        let held = exported(world, 1, 438)?;
        let mapping = held.buffer.map(1)?;
        let expected = mapping.read_vec(0, PAGE_SIZE);

        let (mut reader, mut writer) = UnixStream::pair()?;
        assert_eq!(mapping.write_to(writer.as_fd())?, PAGE_SIZE);
        let mut data = vec![0; PAGE_SIZE];
        reader.read_exact(&mut data)?;
        assert!(data == expected, "other bytes came out");

        data.iter_mut().for_each(|byte| *byte = !*byte);
        writer.write_all(&data)?;
        assert_eq!(mapping.read_from(reader.as_fd())?, PAGE_SIZE);
        assert!(
            mapping.read_vec(0, PAGE_SIZE) == data,
            "other bytes went in"
        );
        assert_eq!(world.granter.read(&held.share, 100)?, data[100]);
        drop((mapping, held.buffer));
        assert_released(&held.share.grants);
        Ok(())
    }
];

/// What holds whichever kind of memory is behind the buffer.
fn of_all_kinds(world: &mut World, case: fn(&mut World, u32) -> Verdict) -> Verdict {
    for (flags, kind) in KINDS {
        println!("# {kind} memory");
        case(world, flags)?;
    }
    Ok(())
}

fn one_by_one_of(world: &mut World, flags: u32) -> Verdict {
    const PAGES: usize = 24;
    let held = exported_as(world, flags, PAGES, 427)?;
    let mut whole = held.buffer.map(PAGES)?;
    let mut pages: Vec<(usize, Mapping)> = Vec::new();
    for page in (0..PAGES).rev() {
        pages.push((page, whole.split_off(page)));
    }
    Random::new(9).shuffle(&mut pages);
    while let Some((_, page)) = pages.pop() {
        page.unmap()?;
        for (number, page) in &pages {
            let difference = page.first_difference_from(number * PAGE_SIZE, 427);
            assert_eq!(difference, None, "page {number}, {} left", pages.len());
        }
    }
    drop((whole, held.buffer));
    assert_released(&held.share.grants);
    Ok(())
}

fn child_sees_mapping_of(world: &mut World, flags: u32) -> Verdict {
    let held = exported_as(world, flags, 2, 431)?;
    if world.is_paravirtual() {
        return skip_case("a paravirtual mapping is not copied to a child");
    }
    let mapping = held.buffer.map(2)?;
    let end = in_child(|| {
        assert_eq!(mapping.first_difference(431), None);
        mapping.fill(432);
    })?;
    assert_eq!(end, End::Exited(0));
    assert_eq!(mapping.first_difference(432), None);
    world.assert_granter_sees(&held.share, 432);
    Ok(())
}

fn changes_of(world: &mut World, flags: u32) -> Verdict {
    let held = exported_as(world, flags, 2, 436)?;
    let other = held.buffer.map(2)?;
    for (name, change) in CHANGES {
        let end = in_child(|| {
            let mapping = held.buffer.map(2).expect("map");
            assert_eq!(mapping.first_difference(436), None);
            if let Ok(mapping) = change(mapping) {
                assert_eq!(mapping.first_difference(436), None);
            }
        })?;
        let gone = end == End::Signalled(SIGBUS);
        assert!(end == End::Exited(0) || gone, "{name}: {end:?}");
        assert_eq!(other.first_difference(436), None, "{name}");
        let mapping = held.buffer.map(2)?;
        assert_eq!(mapping.first_difference(436), None, "{name}, mapped anew");
    }
    world.assert_granter_sees(&held.share, 436);
    drop((other, held.buffer));
    assert_released(&held.share.grants);
    Ok(())
}
