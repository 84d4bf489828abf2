// SPDX-License-Identifier: GPL-2.0

//! Locks that mapping must not take. A kernel with lockdep reports the order in its log, and each
//! such report counts as a failed test; other kernels show that the operations work side by side.

use std::fs;
use std::io;
use std::path::Path;

use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use guest_test::perf_event::PerfEvent;
use xen_grants::mapping::Protection;

use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_released;
use crate::world::World;

rules![
    /// The frames come from memory hotplug, which waits for CPU hotplug. perf copies from and to
    /// the program while it holds locks that CPU hotplug takes.
    #[rule("mapping takes no lock that memory and CPU hotplug take")]
    fn hotplug(world: &mut World) -> Verdict {
        const PAGES: usize = 16384;
        if !Path::new(ONLINE).exists() {
            return skip_case("the domain has no second processor that can be taken away");
        }
        let event = PerfEvent::cpu_clock()?;
        event.set_period(200_000)?;
        set_online(false)?;
        set_online(true)?;

        let share = world.share(PAGES)?;
        world.granter.fill(&share, 96)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, PAGES, Protection::ReadWrite)?;
        assert_eq!(mapping.first_difference(96), None);
        mapping.unmap()?;
        device.remove(index, PAGES as u32)?;
        assert_released(&share.grants);

        // The other order: the mapping is the last user of the frames.
        let index = device.insert(&share.grants)?;
        let mut mapping = device.map(index, PAGES, Protection::ReadWrite)?;
        device.remove(index, PAGES as u32)?;
        let rest = mapping.split_off(PAGES / 2);
        rest.unmap()?;
        assert_eq!(mapping.first_difference(96), None);
        mapping.unmap()?;
        assert_released(&share.grants);
        event.set_period(100_000)?;
        Ok(())
    }
];

/// File that tells whether the second CPU is in use, and changes that.
const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// Takes the second CPU away, or brings it back.
fn set_online(online: bool) -> io::Result<()> {
    fs::write(ONLINE, if online { "1" } else { "0" })
}
