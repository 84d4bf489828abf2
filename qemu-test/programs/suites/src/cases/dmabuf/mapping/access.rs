// SPDX-License-Identifier: GPL-2.0

//! Mappings of the whole buffer or a part of it, and the access that they give.

use std::os::fd::AsFd;

use guest_test::errno::EINVAL;
use guest_test::errno::ENOMEM;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use guest_test::signal::SIGSEGV;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::KINDS;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::limit::Limit;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::World;

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

    /// A process that holds a buffer can map it without the device. The limit bounds the maptrack
    /// entries that these mappings take.
    #[rule("mappings of a buffer use up no more than its limit")]
    #[expect_c_differs(NO_EXPORT)]
    fn too_many_times(world: &mut World) -> Verdict {
        let held = exported(world, 4, 440)?;
        if !world.is_paravirtual() {
            return skip_case(
                "an auto-translated mapping takes no entry of the hypervisor's table",
            );
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
        // One mapping of the whole buffer is always allowed.
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

    /// A private mapping would have to copy the pages that are written.
    #[rule("a private mapping for writing is EINVAL")]
    #[expect_c_differs(NO_EXPORT)]
    fn private_for_writing(world: &mut World) -> Verdict {
        let held = exported(world, 1, 424)?;
        let file = held.buffer.as_fd();
        let result = mapping::private(file, 0, 1, Protection::ReadWrite);
        assert_error(result, EINVAL, "a private mapping for writing");
        world.assert_granter_sees(&held.share, 424);
        Ok(())
    }
];
