// SPDX-License-Identifier: GPL-2.0

//! Exports and imports of one open file, by many threads at once.

use std::collections::BTreeSet;
use std::thread;

use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::memory_file::MemoryFile;
use xen_grants::PAGE_SIZE;

use super::buffers::assert_ends;
use super::buffers::file_buffer;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use crate::suite::rules;
use crate::world::assert_released;
use crate::world::World;

const THREADS: usize = 8;

rules![
    #[rule("eight threads export and close on one file")]
    #[expect_c_differs(NO_EXPORT)]
    fn exports(world: &mut World) -> Verdict {
        const ROUNDS: usize = 20;
        let share = world.share(THREADS)?;
        world.granter.fill(&share, 1100)?;
        let domid = world.granter.domid();
        let device = &Gntdev::open()?;
        thread::scope(|scope| {
            for (page, grant) in share.grants.iter().enumerate() {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let (flags, kind) = KINDS[(page + round) % KINDS.len()];
                        let buffer = device
                            .export(flags, domid, &[grant.reference])
                            .expect("export");
                        let mapping = buffer.map(1).expect("map");
                        let wrong = mapping.first_difference_from(page * PAGE_SIZE, 1100);
                        assert_eq!(wrong, None, "page {page}, round {round}, {kind} memory");
                        drop((buffer, mapping));
                    }
                });
            }
        });
        assert_released(&share.grants);
        world.assert_granter_sees(&share, 1100);
        Ok(())
    },

    #[rule("eight threads import and release on one file")]
    fn imports(world: &mut World) -> Verdict {
        const ROUNDS: usize = 40;
        let domid = world.granter.domid();
        let device = &Gntdev::open()?;
        thread::scope(|scope| {
            for number in 0..THREADS {
                scope.spawn(move || {
                    let pages = 1 + number % 4;
                    let file = MemoryFile::new(pages).expect("a file");
                    for _ in 0..ROUNDS {
                        let buffer = file.dma_buf().expect("a buffer");
                        let references = device.import(&buffer, domid, pages).expect("import");
                        let different: BTreeSet<u32> = references.into_iter().collect();
                        assert_eq!(different.len(), pages);
                        device.release_import(buffer.number()).expect("release");
                    }
                });
            }
        });
        Ok(())
    },

    #[rule("of threads that release one import, one succeeds")]
    fn one_release(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        let (_, buffer) = file_buffer(4)?;
        let device = &Gntdev::open()?;
        let number = buffer.number();
        for _ in 0..30 {
            device.import(&buffer, domid, 4)?;
            let succeeded: usize = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| scope.spawn(|| device.release_import(number)))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| match thread.join().expect("a thread") {
                        Ok(()) => 1,
                        Err(error) => {
                            assert_eq!(error.raw_os_error(), Some(ENOENT), "{error}");
                            0
                        }
                    })
                    .sum()
            });
            assert_eq!(succeeded, 1);
        }
        Ok(())
    },

    /// Each thread closes something that the others' objects refer to.
    #[rule("buffers and their device close at the same time")]
    #[expect_c_differs(NO_EXPORT)]
    fn closes(world: &mut World) -> Verdict {
        let share = world.share(THREADS)?;
        let domid = world.granter.domid();
        for _ in 0..20 {
            let device = Gntdev::open()?;
            let mut held = Vec::new();
            for grant in &share.grants {
                let buffer = device.export(0, domid, &[grant.reference])?;
                held.push((buffer.map(1)?, buffer));
            }
            thread::scope(|scope| {
                for both in held {
                    scope.spawn(move || drop(both));
                }
                scope.spawn(move || drop(device));
            });
        }
        assert_released(&share.grants);

        let device = Gntdev::open()?;
        let buffer = device.export(0, domid, &share.references())?;
        let number = buffer.number();
        drop(buffer);
        assert_ends(&device, number);
        Ok(())
    }
];
