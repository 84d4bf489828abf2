// SPDX-License-Identifier: GPL-2.0

//! Many copies at a time, and the end of a process that makes one.

use std::thread;

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use guest_test::platform::memory_info;
use guest_test::platform::pinned_pages;
use guest_test::process;
use guest_test::process::Child;
use guest_test::signal::SIGKILL;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_copy::BAD_REFERENCE;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use super::segments::assert_okay;
use super::segments::bad_grant;
use super::segments::encoded;
use super::segments::from_grant;
use super::segments::memory;
use super::segments::to_grant;
use super::segments::PAGE;
use super::segments::PER_PAGE;
use crate::granter::Share;
use crate::suite::rules;
use crate::wait::settle;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::World;

const THREADS: usize = 8;

rules![
    #[rule("threads copy on one file at once")]
    fn threads(world: &mut World) -> Verdict {
        let share = world.share(THREADS)?;
        let device = Gntdev::open()?;
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (device, share) = (&device, &share);
                scope.spawn(move || copy_rounds(device, share, number, 20));
            }
        });
        Ok(())
    },

    #[rule("a thread's failures do not disturb another's copies")]
    fn threads_with_failures(world: &mut World) -> Verdict {
        let share = world.share(THREADS)?;
        let device = Gntdev::open()?;
        thread::scope(|scope| {
            for number in 0..THREADS / 2 {
                let (device, share) = (&device, &share);
                scope.spawn(move || copy_rounds(device, share, number, 10));
                scope.spawn(move || {
                    let local = memory(1).expect("memory");
                    let good = from_grant(share.grants[number], 0, &local, 0, 64);
                    let crossing = from_grant(share.grants[number], 1, &local, 0, PAGE);
                    for before in 0..100 {
                        let mut segments = vec![good; before];
                        segments.push(crossing);
                        assert_error(device.copy(&segments), EINVAL, "crossing");
                    }
                });
            }
        });
        Ok(())
    },

    /// Long calls yield the processor, so many of them are under way at the same time.
    #[rule("300 threads copy on one file, which then closes")]
    #[long]
    fn crowd(world: &mut World) -> Verdict {
        const CROWD: usize = 300;
        const SEGMENTS: usize = 1000;
        let share = world.share(1)?;
        world.granter.fill(&share, 173)?;
        let device = Gntdev::open()?;
        thread::scope(|scope| {
            for _ in 0..CROWD {
                scope.spawn(|| {
                    let local = memory(1).expect("memory");
                    let segment = from_grant(share.grants[0], 0, &local, 0, PAGE);
                    assert_okay(&device.copy(&vec![segment; SEGMENTS]).expect("copy"));
                    assert_eq!(local.first_difference(173), None);
                });
            }
        });
        Ok(())
    },

    #[rule("nothing stays pinned or lost")]
    #[long]
    fn nothing_stays(world: &mut World) -> Verdict {
        /// In kB. The rounds pin 30 MB in all, so pages lost would show.
        const ALLOWED_LOSS: u64 = 2048;
        const SEGMENTS: usize = 300;
        let share = world.share(1)?;
        let grant = share.grants[0];
        let local = memory(32)?;
        local.fill(171);
        let missing = memory(1)?;
        missing.protect(Protection::None)?;
        let device = Gntdev::open()?;
        let good: Vec<_> = (0..SEGMENTS)
            .map(|number| from_grant(grant, 0, &local, number * 400, 400))
            .collect();
        let mut bad = good.clone();
        bad[290] = from_grant(grant, 0, &missing, 0, 64);
        let mut wrong = good.clone();
        wrong[290] = from_grant(grant, 4000, &local, 0, 200);
        let mut refused = good.clone();
        refused[290] = from_grant(bad_grant(world), 0, &local, 0, 200);
        let array = encoded(&good[0], Protection::Read)?;
        let round = || -> Verdict {
            assert_okay(&device.copy(&good)?);
            assert_error(device.copy(&bad), EFAULT, "missing memory");
            assert_error(device.copy(&wrong), EINVAL, "crossing");
            assert_eq!(device.copy(&refused)?[290], BAD_REFERENCE);
            let result = device.copy_encoded(&array, 0, 2 * PER_PAGE);
            assert_error(result, EFAULT, "statuses");
            Ok(())
        };
        round()?;
        let pinned_before = pinned_pages()?;
        let memory_before = memory_info("MemFree")?;
        for _ in 0..50 {
            round()?;
        }
        assert_eq!(pinned_pages()?, pinned_before, "pinned pages");
        let lost = memory_before.saturating_sub(memory_info("MemFree")?);
        assert!(lost < ALLOWED_LOSS, "{lost} kB less memory than before");
        Ok(())
    },

    /// The call would take minutes. Its progress is seen in the statuses that it writes: after the
    /// signal it goes on with the segments that it has begun, and with none after those.
    #[rule("a huge call ends when its process is killed")]
    #[long]
    #[expect_c_differs("goes on to the end of the call")]
    fn killed(world: &mut World) -> Verdict {
        const COUNT: usize = 4_000_000;
        /// More than either driver begins at once.
        const BEGUN: usize = 1000;
        let share = world.share(1)?;
        let pinned_before = pinned_pages()?;
        let local = memory(1)?;
        let array = mapping::shared((COUNT * RawSegment::SIZE).div_ceil(PAGE_SIZE))?;
        let segment = from_grant(share.grants[0], 0, &local, 0, PAGE)
            .raw()
            .to_bytes();
        for number in 0..COUNT {
            array.write_all(number * RawSegment::SIZE, &segment);
        }
        let mut child = Child::spawn(|| {
            let device = Gntdev::open().expect("open");
            device.copy_encoded(&array, 0, COUNT as u32).expect("copy");
        })?;
        let done = || Ok(segments_with_status(&array, &segment));
        assert_ne!(settle(PATIENCE, done, |done| *done > 0)?, 0, "no progress");
        child.kill()?;
        let at_kill = segments_with_status(&array, &segment);
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(process::End::Signalled(SIGKILL)));
        let after = segments_with_status(&array, &segment) - at_kill;
        assert!(after <= BEGUN, "{after} segments copied after the signal");
        assert_eq!(pinned_pages()?, pinned_before, "pinned pages");
        Ok(())
    }
];

/// Copies pages back and forth; each thread has its own.
fn copy_rounds(table: &Gntdev, share: &Share, number: usize, rounds: usize) {
    let grant = share.grants[number];
    let (from, to) = (memory(2).expect("memory"), memory(2).expect("memory"));
    for round in 0..rounds {
        from.fill((number * rounds + round) as u32);
        let there: Vec<_> = (0..32)
            .map(|piece| to_grant(&from, 100 + piece * 128, grant, piece as u16 * 128, 128))
            .collect();
        assert_okay(&table.copy(&there).expect("copy"));
        let back: Vec<_> = (0..64)
            .map(|piece| from_grant(grant, piece as u16 * 64, &to, 100 + piece * 64, 64))
            .collect();
        assert_okay(&table.copy(&back).expect("copy"));
        let same = from.read_vec(100, PAGE_SIZE) == to.read_vec(100, PAGE_SIZE);
        assert!(same, "thread {number}, round {round}");
    }
}

/// Number of segments of `array` that have got a status. They get theirs in their order; before
/// that each is `segment`.
fn segments_with_status(array: &Mapping, segment: &[u8; RawSegment::SIZE]) -> usize {
    let (mut with, mut without) = (0, array.len() / RawSegment::SIZE);
    while with < without {
        let middle = with + (without - with) / 2;
        if array.read_vec(middle * RawSegment::SIZE, RawSegment::SIZE) == segment {
            without = middle;
        } else {
            with = middle + 1;
        }
    }
    with
}
