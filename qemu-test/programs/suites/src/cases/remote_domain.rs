// SPDX-License-Identifier: GPL-2.0

//! Rules that only a granter in another domain can show.

use std::io;
use std::process::Command;

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::granter::Access;
use crate::granter::Granter;
use crate::local::LocalGranter;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::wait::settle;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::World;

rules![
    #[rule("one region maps grants of two domains")]
    fn two_domains(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated domain cannot map its own grants");
        }
        let mut own = LocalGranter::new(DOM0, DOM0)?;
        let here = own.share(1, Access::ReadWrite)?;
        let there = world.share(1)?;
        own.fill(&here, 1)?;
        world.granter.fill(&there, 2)?;

        let device = Gntdev::open()?;
        let grants = [there.grants[0], here.grants[0], there.grants[0]];
        let index = device.insert(&grants)?;
        let mut first = device.map(index, 3, Protection::ReadWrite)?;
        let mut second = first.split_off(1);
        let third = second.split_off(1);
        assert_eq!(first.first_difference(2), None);
        assert_eq!(second.first_difference(1), None);
        assert_eq!(third.first_difference(2), None);
        second.fill(3);
        assert_eq!(own.first_difference(&here, 3)?, None);
        first.write(PAGE_SIZE - 1, 7);
        assert_eq!(world.granter.read(&there, PAGE_SIZE - 1)?, 7);
        Ok(())
    },

    /// The second domain is gone after this, so no rule can follow.
    ///
    /// Xen keeps a dead domain as long as one of its pages is mapped. The domain's end shows that
    /// no grant of it is mapped by anyone.
    #[rule("a dead domain's page stays until unmapped, then maps no more")]
    fn dead_domain(world: &mut World) -> Verdict {
        let held = world.mapped(2, 5)?;
        let domid = world.granter.domid().to_string();
        let status = Command::new("xl").args(["destroy", &domid]).status()?;
        assert!(status.success(), "xl destroy {domid}: {status}");
        assert_eq!(held.mapping.first_difference(5), None);
        assert!(
            is_known(&domid)?,
            "the domain is gone while its pages are mapped"
        );

        held.mapping.unmap()?;
        held.device.remove(held.index, 2)?;
        let kept = settle(PATIENCE, || is_known(&domid), |known| !known)?;
        assert!(!kept, "xen still keeps the domain");
        let index = held.device.insert(&held.share.grants)?;
        let result = held.device.map(index, 2, Protection::Read);
        assert_error(result, EINVAL, "a grant of a dead domain");
        Ok(())
    }
];

fn is_known(domid: &str) -> io::Result<bool> {
    let output = Command::new("xl").args(["list", domid]).output()?;
    Ok(output.status.success())
}
