// SPDX-License-Identifier: GPL-2.0

//! Threads that call the device at the same time, on the same files, regions and mappings.
//!
//! Their results depend on the order of the calls, so each call has a list of the errors that it
//! may return in any order. A crash, a hang and things that are left behind are found as in a run.

mod calls;
mod owners;
mod shared;
mod vanishing;

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Mutex;
use std::sync::RwLock;
use std::thread;
use std::time::Duration;

use guest_test::errno::EACCES;
use guest_test::errno::EAGAIN;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::EOPNOTSUPP;
use guest_test::errno::ETIMEDOUT;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::Gntdev;
use suites::random::Random;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;

use calls::CallResult;
use owners::Owners;
use shared::Shared;
use shared::SLOTS;

use crate::setting::Setting;
use crate::tally::Column;
use crate::tally::Tally;

/// Time between two changes of the shares.
const PAUSE: Duration = Duration::from_millis(20);

/// A call: its name, the function that makes it, and the errors that it may return.
type Call = (
    &'static str,
    fn(&Shared, &mut Random) -> CallResult,
    &'static [i32],
);

const CALLS: [Call; 26] = [
    ("insert", calls::insert, &[]),
    ("remove", calls::remove, &[ENOENT]),
    ("map", calls::map, &[EINVAL, EAGAIN, EOPNOTSUPP]),
    ("unmap", calls::unmap, &[]),
    ("protect", calls::protect, &[EACCES]),
    ("discard", calls::discard, &[EINVAL]),
    ("relocate", calls::relocate, &[EFAULT, EINVAL]),
    ("load", calls::load, &[EFAULT]),
    ("store", calls::store, &[EFAULT]),
    ("place-of", calls::place_of, &[EINVAL]),
    ("notify", calls::notify, &[ENOENT, EINVAL]),
    ("copy", calls::copy, &[EFAULT]),
    ("export", calls::export, &[EINVAL, EOPNOTSUPP]),
    ("close-buffer", calls::close_buffer, &[]),
    ("map-buffer", calls::map_buffer, &[EINVAL]),
    ("wait", calls::wait, &[ENOENT, ETIMEDOUT]),
    ("read", calls::read, &[EAGAIN]),
    ("show", calls::show, &[]),
    ("replace", vanishing::replace, &[]),
    ("protect-argument", vanishing::protect, &[]),
    ("insert-vanishing", vanishing::insert, &[EFAULT, EINVAL]),
    (
        "remove-vanishing",
        vanishing::remove,
        &[EFAULT, EINVAL, ENOENT],
    ),
    (
        "notify-vanishing",
        vanishing::notify,
        &[EFAULT, EINVAL, ENOENT],
    ),
    (
        "copy-segments-vanishing",
        vanishing::copy_segments,
        &[EFAULT, EINVAL],
    ),
    ("copy-bytes-vanishing", vanishing::copy_bytes, &[EFAULT]),
    (
        "export-vanishing",
        vanishing::export,
        &[EFAULT, EINVAL, EOPNOTSUPP],
    ),
];

/// Has `threads` threads make `count` calls each, which `seed` names. Meanwhile the domains end
/// shares and grant others. `progress` changes with each call. Returns the number of calls, or a
/// message about an unexpected error.
///
/// # Errors
///
/// Those of the granters.
pub fn execute(
    setting: Setting,
    seed: u64,
    threads: usize,
    count: usize,
    progress: &AtomicU32,
) -> io::Result<Result<Tally, String>> {
    let mut owners = Owners::new(setting)?;
    let channel = Loopback::open(DOM0)?;
    let shared = Shared {
        files: [Gntdev::open()?, Gntdev::open()?],
        grants: RwLock::new(owners.grants()),
        regions: Mutex::new([None; SLOTS]),
        mappings: Mutex::new([const { None }; SLOTS]),
        buffers: Mutex::new([const { None }; SLOTS]),
        port: channel.port(),
        memory: File::options().write(true).open("/proc/self/mem")?,
        vanishing: Mapping::anonymous(1, Protection::ReadWrite)?,
    };
    let shared = &shared;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let seed = seed.wrapping_mul(threads as u64).wrapping_add(thread);
                scope.spawn(move || calls(shared, seed, count, progress))
            })
            .collect();
        let mut changed = Ok(());
        while changed.is_ok() && !callers.iter().all(|caller| caller.is_finished()) {
            thread::sleep(PAUSE);
            changed = owners.change().map(|()| {
                *shared.grants.write().expect("no thread panics") = owners.grants();
            });
        }
        let mut sum = Tally::default();
        let mut failure = None;
        for caller in callers {
            match caller.join().expect("no thread panics") {
                Ok(tally) => sum.add(&tally),
                Err(message) => failure = Some(message),
            }
        }
        changed?;
        Ok(match failure {
            None => Ok(sum),
            Some(message) => Err(message),
        })
    })
}

/// Makes the calls of one thread.
fn calls(
    shared: &Shared,
    seed: u64,
    count: usize,
    progress: &AtomicU32,
) -> Result<Tally, String> {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for _ in 0..count {
        progress.fetch_add(1, Ordering::Relaxed);
        let (name, call, errors) = CALLS[random.below(CALLS.len())];
        let result = call(shared, &mut random);
        if let Some(Err(error)) = &result {
            let is_expected = error
                .raw_os_error()
                .is_some_and(|one| errors.contains(&one));
            if !is_expected {
                return Err(format!("{name}: {error}, expected one of {errors:?}"));
            }
        }
        tally.count(
            name,
            match result {
                Some(Ok(())) => Column::Succeeded,
                Some(Err(_)) => Column::Refused,
                None => Column::Nothing,
            },
        );
    }
    Ok(tally)
}
