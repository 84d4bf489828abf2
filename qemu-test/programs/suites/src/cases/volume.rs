// SPDX-License-Identifier: GPL-2.0

//! Many mappings leave the machine's state as before.

use guest_test::gntdev::Gntdev;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::platform::memory_info;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;

use crate::suite::rules;
use crate::world::settled;
use crate::world::World;

/// In kB. The rounds map 16 MB in all, so a page lost in each would show.
const ALLOWED_LOSS: u64 = 2048;

rules![
    #[rule("1000 rounds of mapping leave memory and xen's table as before")]
    #[long]
    fn rounds(world: &mut World) -> Verdict {
        const ROUNDS: u32 = 1000;
        let share = world.share(4)?;
        let round = |seed| -> Verdict {
            let table = GrantTable::open()?;
            let mapping = table.map_all(&share.grants, Protection::ReadWrite)?;
            mapping.write(0, seed as u8);
            mapping.unmap()?;
            Ok(())
        };
        // The first rounds fill the kernel's pools of pages for foreign frames.
        for seed in 0..50 {
            round(seed)?;
        }
        let table_before = GrantUsage::read()?;
        let memory_before = memory_info("MemFree")?;
        for seed in 0..ROUNDS {
            round(seed)?;
        }
        let table_after = settled(|usage| usage.beyond(&table_before).is_empty())?;
        let left = table_after.beyond(&table_before);
        assert!(left.is_empty(), "left in xen's table: {left}");
        let lost = memory_before.saturating_sub(memory_info("MemFree")?);
        assert!(lost < ALLOWED_LOSS, "{lost} kB less memory than before");
        Ok(())
    },

    /// Xen allows 127 mappings of one grant, and a paravirtual mapping is two: the user's and the
    /// kernel's.
    #[rule("50 files map the same grant at once")]
    fn files(world: &mut World) -> Verdict {
        const FILES: usize = 50;
        let share = world.share(1)?;
        world.granter.fill(&share, 95)?;
        let mut held = Vec::new();
        for _ in 0..FILES {
            let device = Gntdev::open()?;
            let index = device.insert(&share.grants)?;
            let mapping = device.map(index, 1, Protection::Read)?;
            held.push((device, mapping));
        }
        for (_, mapping) in &held {
            assert_eq!(mapping.first_difference(95), None);
        }
        Ok(())
    }
];
