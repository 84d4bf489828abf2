// SPDX-License-Identifier: GPL-2.0

//! Mappings of a child process.
//!
//! In a paravirtual domain the page-table entries of a mapping are written by the hypervisor, as
//! those of a region: a child process does not get them.

use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use guest_test::signal::SIGSEGV;

use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::exported_as;
use crate::cases::dmabuf::buffers::of_all_kinds;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::World;

rules![
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
    }
];

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
