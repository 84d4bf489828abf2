// SPDX-License-Identifier: GPL-2.0

//! Many mappings, and large ones, leave the machine's state as before.

use std::io;

use guest_test::address_space::AddressSpace;
use guest_test::errno::ENOMEM;
use guest_test::gntdev::Gntdev;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::platform::memory_info;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::settled;
use crate::world::World;

/// Number of grants of the largest region that the parameter `limit` allows by default.
const LARGEST: usize = 64 * 1024;

/// Number of different pages of such a region, each of which is there 32 times.
const SHARED: usize = 2048;

/// Free memory, in kB, in which the largest region is mapped: a fifth of the pages that it maps.
/// Their `struct page`s take 4 MiB, and the arrays of operations about as much.
const LITTLE: u64 = 48 << 10;

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
    },

    #[rule("a region of 65536 grants is mapped with 48 MiB of free memory")]
    #[long]
    fn largest_region(world: &mut World) -> Verdict {
        let grants = repeated_grants(world)?;
        let _taken = take_memory_but(LITTLE)?;
        let device = Gntdev::open()?;
        for round in 1..=2 {
            let index = device.insert(&grants)?;
            let mapping = device.map(index, LARGEST, Protection::ReadWrite)?;
            for page in (0..LARGEST).step_by(SHARED + 1) {
                // The other places of the same page.
                let at = page * PAGE_SIZE + page % PAGE_SIZE;
                mapping.write(at, round);
                let other = (at + SHARED * PAGE_SIZE) % (LARGEST * PAGE_SIZE);
                assert_eq!(mapping.read(other), round, "page {page}, round {round}");
                mapping.write(other, 0);
                assert_eq!(mapping.read(at), 0, "page {page}, round {round}");
            }
            mapping.unmap()?;
            device.remove(index, LARGEST as u32)?;
            assert_released(&grants[..SHARED]);
        }
        Ok(())
    },

    #[rule("a region of 65536 grants without enough addresses is ENOMEM, and mapped afterwards")]
    #[long]
    fn no_addresses(world: &mut World) -> Verdict {
        let grants = repeated_grants(world)?;
        let device = Gntdev::open()?;
        let index = device.insert(&grants)?;
        let limited = AddressSpace::limit_to_used_and(LARGEST / 2 * PAGE_SIZE)?;
        let result = device.map(index, LARGEST, Protection::ReadWrite);
        assert_error(result, ENOMEM, "mapping it");
        drop(limited);
        assert_released(&grants[..SHARED]);

        let mapping = device.map(index, LARGEST, Protection::ReadWrite)?;
        let at = (LARGEST - 1) * PAGE_SIZE;
        mapping.write(at, 77);
        assert_eq!(mapping.read((SHARED - 1) * PAGE_SIZE), 77);
        mapping.unmap()?;
        device.remove(index, LARGEST as u32)?;
        assert_released(&grants[..SHARED]);
        Ok(())
    }
];

/// As many grants as the largest region has, of [`SHARED`] pages.
fn repeated_grants(world: &mut World) -> io::Result<Vec<GrantRef>> {
    /// The granter returns no longer list at once.
    const AT_ONCE: usize = 256;
    let mut grants = Vec::new();
    for _ in 0..SHARED / AT_ONCE {
        grants.extend(world.share(AT_ONCE)?.grants);
    }
    Ok(grants.repeat(LARGEST / SHARED))
}

/// Takes memory until no more than `left` kB are free.
fn take_memory_but(left: u64) -> io::Result<Vec<Mapping>> {
    const PIECE: usize = 1024;
    let mut taken = Vec::new();
    while memory_info("MemFree")? > left {
        let piece = Mapping::anonymous(PIECE, Protection::ReadWrite)?;
        for page in 0..PIECE {
            piece.write(page * PAGE_SIZE, 1);
        }
        taken.push(piece);
    }
    Ok(taken)
}
