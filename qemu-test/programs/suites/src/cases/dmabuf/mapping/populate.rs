// SPDX-License-Identifier: GPL-2.0

//! Calls that have the kernel touch all pages of a mapping: mlockall, `MAP_POPULATE` and
//! `MADV_POPULATE_WRITE`.

use std::os::fd::AsFd;

use guest_test::errno::EINVAL;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Protection;

use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::of_all_kinds;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("mlockall, MAP_POPULATE and MADV_POPULATE_WRITE leave the data as they are")]
    #[expect_c_differs(NO_EXPORT)]
    fn touched(world: &mut World) -> Verdict {
        of_all_kinds(world, touched_as)
    }
];

fn touched_as(world: &mut World, flags: u32) -> Verdict {
    let held = exported_as(world, flags, 2, 450)?;
    let number = held.buffer.number();
    let before = held.buffer.map(2)?;
    mapping::lock_all()?;
    let file = held.buffer.as_fd();
    let after = mapping::populated(file, 0, 2, Protection::ReadWrite)?;
    for (mapping, seed) in [(&before, 451), (&after, 452)] {
        // The kernel does not touch memory that it has mapped without counting references.
        if let Err(error) = mapping.populate_for_writing() {
            assert_eq!(error.raw_os_error(), Some(EINVAL), "{error}");
        }
        assert_eq!(mapping.first_difference(seed - 1), None);
        mapping.fill(seed);
        world.assert_granter_sees(&held.share, seed);
    }
    drop((before, after, held.buffer));
    assert_ends(&held.device, number);
    assert_eq!(in_use(&held.share.grants)?, 0);
    Ok(())
}
