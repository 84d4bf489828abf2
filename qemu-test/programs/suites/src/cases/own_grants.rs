// SPDX-License-Identifier: GPL-2.0

//! Grants of an auto-translated domain on x86 to itself: Xen would move the pages.

use guest_test::errno::EOPNOTSUPP;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::platform;
use guest_test::platform::Driver;
use guest_test::totals;
use xen_grants::DOM0;

use crate::own_grants;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::World;

rules![
    #[rule("an auto-translated domain is refused its own grants and keeps its pages")]
    fn own_grants_in_dom0(world: &mut World) -> Verdict {
        require_refusal(world)?;
        let refused = || -> std::io::Result<_> { Ok(totals::read()?.get("refused_own_grants")) };
        let before = refused()?;
        assert_eq!(own_grants::errors(DOM0)?, [EOPNOTSUPP]);
        assert!(refused()? > before, "debugfs does not count them");
        Ok(())
    },

    #[rule("an auto-translated domU is refused its own grants and keeps its pages")]
    fn own_grants_in_domu(world: &mut World) -> Verdict {
        require_refusal(world)?;
        assert_eq!(world.granter.map_own()?, [EOPNOTSUPP]);
        // It lives.
        world.mapped(2, 244)?;
        Ok(())
    }
];

/// Skips the case where own grants can be mapped, and where trying it costs the kernel its memory.
fn require_refusal(world: &World) -> Result<(), Stop> {
    if platform::maps_own_grants()? {
        return skip_case("own grants can be mapped here");
    }
    if world.driver == Driver::C {
        return skip_case("the C driver destroys the kernel's memory");
    }
    Ok(())
}
