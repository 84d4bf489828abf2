// SPDX-License-Identifier: GPL-2.0

//! One open file, used by many threads at once.

use std::error::Error;
use std::fs::File;
use std::thread;

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::gntdev;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use vm_memory::Bytes;
use vm_memory::FileOffset;
use vm_memory::GuestAddress;
use vm_memory::GuestMemoryMmap;
use vm_memory::GuestRegionMmap;
use vm_memory::MmapRange;
use vm_memory::MmapRegion;
use vm_memory::MmapXenFlags;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::granter::Share;
use crate::random::Random;
use crate::suite::rules;
use crate::world::assert_released;
use crate::world::World;

const THREADS: usize = 8;

rules![
    #[rule("eight threads map and unmap on one file")]
    fn side_by_side(world: &mut World) -> Verdict {
        const ROUNDS: usize = 25;
        let share = world.share(THREADS)?;
        world.granter.fill(&share, 90)?;
        let device = &Gntdev::open()?;
        thread::scope(|scope| {
            for (page, grant) in share.grants.iter().enumerate() {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let index = device.insert(&[*grant]).expect("insert");
                        let mapping = device.map(index, 1, Protection::ReadWrite).expect("map");
                        let wrong = mapping.first_difference_from(page * PAGE_SIZE, 90);
                        assert_eq!(wrong, None, "page {page}, round {round}");
                        let place = device.place_of(mapping.address()).expect("place");
                        assert_eq!((place.offset, place.count), (index, 1));
                        mapping.unmap().expect("munmap");
                        device.remove(index, 1).expect("remove");
                    }
                });
            }
        });
        assert_released(&share.grants);
        Ok(())
    },

    /// All threads use the same few indexes, so a call may find the region of another thread or
    /// none. It is refused then, and no mapping is lost.
    #[rule("threads that race for the same indexes leave nothing mapped")]
    fn racing(world: &mut World) -> Verdict {
        const ROUNDS: usize = 150;
        const INDEXES: usize = 4;
        let share = world.share(1)?;
        let grant = share.grants[0];
        let device = &Gntdev::open()?;
        thread::scope(|scope| {
            for number in 0..THREADS {
                scope.spawn(move || race(device, grant, number as u64, ROUNDS, INDEXES));
            }
        });
        for index in 0..2 * THREADS * ROUNDS {
            // Most of these regions are removed already.
            let _ = device.remove((index * PAGE_SIZE) as u64, 1);
        }
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("regions are looked up while others come and go")]
    fn lookups_meanwhile(world: &mut World) -> Verdict {
        const ROUNDS: usize = 300;
        let held = &world.mapped(2, 91)?;
        thread::scope(|scope| {
            for number in 1..THREADS {
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let grants = vec![held.share.grants[0]; number];
                        let index = held.device.insert(&grants).expect("insert");
                        held.device.remove(index, number as u32).expect("remove");
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let place = held.device.place_of(held.mapping.address()).expect("place");
                    assert_eq!((place.offset, place.count), (held.index, 2));
                }
            });
        });
        assert_eq!(held.mapping.first_difference(91), None);
        Ok(())
    },

    /// The crate vm-memory is that of rust-vmm, whose device back ends use it. By its feature for
    /// Xen each read and each write adds a region, maps it, and removes it again, all on one file.
    #[rule("eight threads of vm-memory map grants for each access on one file")]
    fn for_each_access(world: &mut World) -> Verdict {
        const ROUNDS: u32 = 50;
        let share = world.share(THREADS)?;
        world.granter.fill(&share, 92)?;
        let memory = &guest_memory(&share).map_err(|error| Stop::Fail(error.to_string()))?;
        thread::scope(|scope| {
            for (page, grant) in share.grants.iter().enumerate() {
                scope.spawn(move || access_one_by_one(memory, *grant, page, ROUNDS));
            }
        });
        assert_released(&share.grants);
        for page in 0..THREADS {
            let at = page * PAGE_SIZE + LAST_WORD;
            let found = world.granter.read(&share, at)?;
            assert_eq!(u32::from(found), ROUNDS - 1, "page {page}");
        }
        Ok(())
    }
];

/// Offset in its page of a word that [`access_one_by_one`] writes.
const LAST_WORD: usize = PAGE_SIZE - size_of::<u32>();

/// The grants of `share` as memory of a guest, in which a page's address is its reference. No page
/// is mapped in advance.
fn guest_memory(share: &Share) -> Result<GuestMemoryMmap, Box<dyn Error>> {
    let references = share.references();
    let first = references.iter().min().ok_or("no grant")?;
    let last = references.iter().max().ok_or("no grant")?;
    let size = (last - first + 1) as usize * PAGE_SIZE;
    let device = File::options().read(true).write(true).open(gntdev::PATH)?;
    let range = MmapRange::new(
        size,
        Some(FileOffset::new(device, 0)),
        address_of(*first),
        (MmapXenFlags::GRANT | MmapXenFlags::NO_ADVANCE_MAP).bits(),
        share.grants[0].domid,
    );
    let region = MmapRegion::from_range(range)?;
    let region = GuestRegionMmap::new(region, address_of(*first)).ok_or("no such address")?;
    Ok(GuestMemoryMmap::from_regions(vec![region])?)
}

fn address_of(reference: u32) -> GuestAddress {
    GuestAddress(u64::from(reference) * PAGE_SIZE as u64)
}

/// Reads and writes the page of `grant`, which is page `page` of the share.
fn access_one_by_one(memory: &GuestMemoryMmap, grant: GrantRef, page: usize, rounds: u32) {
    let address = |at: usize| GuestAddress(address_of(grant.reference).0 + at as u64);
    let mut found = [0; 16];
    let expected: [u8; 16] = std::array::from_fn(|at| pattern(92, page * PAGE_SIZE + 100 + at));
    for round in 0..rounds {
        memory.read_slice(&mut found, address(100)).expect("read");
        assert_eq!(found, expected, "page {page}, round {round}");
        let word = address(LAST_WORD);
        memory.write_obj(round, word).expect("write");
        assert_eq!(memory.read_obj::<u32>(word).expect("read"), round);
    }
}

fn race(device: &Gntdev, grant: GrantRef, number: u64, rounds: usize, indexes: usize) {
    let mut random = Random::new(100 + number);
    for _ in 0..rounds {
        let index = (random.below(indexes) * PAGE_SIZE) as u64;
        match random.below(3) {
            0 => {
                device.insert(&[grant]).expect("insert");
            }
            1 => match device.map(index, 1, Protection::ReadWrite) {
                Ok(mapping) => {
                    let value = mapping.read(0);
                    mapping.write(0, value.wrapping_add(1));
                }
                Err(error) => assert_eq!(error.raw_os_error(), Some(EINVAL), "{error}"),
            },
            _ => {
                if let Err(error) = device.remove(index, 1) {
                    assert_eq!(error.raw_os_error(), Some(ENOENT), "{error}");
                }
            }
        }
    }
}
