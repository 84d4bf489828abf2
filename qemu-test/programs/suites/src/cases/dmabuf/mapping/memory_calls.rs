// SPDX-License-Identifier: GPL-2.0

//! Effects of mremap, mprotect, madvise, and of the kernel's own access.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use guest_test::errno::EACCES;
use guest_test::errno::EFAULT;
use guest_test::errno::ETIMEDOUT;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::mapping::Pipe;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use guest_test::signal::SIGBUS;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::of_all_kinds;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

type Change = fn(Mapping) -> std::io::Result<Mapping>;

/// Changes, and `true` for those that leave the pages to the process.
const CHANGES: [(&str, Change, bool); 4] = [
    ("mremap", Mapping::relocate, false),
    (
        "mprotect",
        |mapping| mapping.protect(Protection::Read).map(|()| mapping),
        true,
    ),
    (
        "mprotect there and back",
        |mapping| {
            mapping.protect(Protection::None)?;
            mapping.protect(Protection::ReadWrite)?;
            Ok(mapping)
        },
        true,
    ),
    (
        "madvise",
        |mapping| mapping.discard().map(|()| mapping),
        false,
    ),
];

rules![
    /// The change may be refused. If it is not, a page has the same data afterwards; after mremap
    /// and madvise it may also be gone. The buffer keeps its pages, and no mapping is left.
    #[rule("mremap, mprotect and madvise harm nobody")]
    #[expect_c_differs(NO_EXPORT)]
    fn changes(world: &mut World) -> Verdict {
        of_all_kinds(world, changes_of)
    },

    #[rule("a mapping of a buffer made without access rights has none until it gets some")]
    #[expect_c_differs(NO_EXPORT)]
    fn made_without_access(world: &mut World) -> Verdict {
        let held = exported(world, 2, 438)?;
        let mapping = held.buffer.map_part(0, 2, Protection::None)?;
        let (_reader, writer) = UnixStream::pair()?;
        assert_error(mapping.write_to(writer.as_fd()), EFAULT, "access");
        mapping.protect(Protection::Read)?;
        assert_eq!(mapping.first_difference(438), None);
        Ok(())
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

    /// In a paravirtual domain the grant itself is mapped read-only.
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

    /// The pipe holds a reference to the page, not a copy.
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

fn changes_of(world: &mut World, flags: u32) -> Verdict {
    let held = exported_as(world, flags, 2, 436)?;
    let other = held.buffer.map(2)?;
    for (name, change, keeps) in CHANGES {
        let end = in_child(|| {
            let mapping = held.buffer.map(2).expect("map");
            assert_eq!(mapping.first_difference(436), None);
            if let Ok(mapping) = change(mapping) {
                assert_eq!(mapping.first_difference(436), None);
            }
        })?;
        let gone = !keeps && end == End::Signalled(SIGBUS);
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
