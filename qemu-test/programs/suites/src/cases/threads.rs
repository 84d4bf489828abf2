// SPDX-License-Identifier: GPL-2.0

//! One open file, used by many threads at once.

use std::thread;

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

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
    }
];

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
