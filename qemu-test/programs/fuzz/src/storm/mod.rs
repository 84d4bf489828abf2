// SPDX-License-Identifier: GPL-2.0

//! Threads that call the device at the same time, on the same files, regions and mappings, and
//! another process that has the same files and regions.
//!
//! Their results depend on the order of the calls, so each call has a list of the errors that it
//! may return in any order. A crash, a hang and things that are left behind are found as in a run.

mod calls;
mod owners;
mod shared;
mod vanishing;

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
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
use guest_test::process::Child;
use guest_test::process::End;
use suites::random::Random;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;

use calls::CallResult;
use owners::Owners;
use shared::Regions;
use shared::Shared;
use shared::SLOTS;

use crate::setting::Setting;
use crate::tally::Column;
use crate::tally::Tally;

/// Time between two changes of the shares.
const PAUSE: Duration = Duration::from_millis(20);

/// Time limit of the other process after the end of the threads, for one that hangs. A limit of the
/// run ends it sooner if it makes no progress.
const LIMIT: Duration = Duration::from_secs(3000);

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

/// Has `threads` threads make `count` calls each, which `seed` names, and another process as many
/// with the same files and regions. Meanwhile the domains end shares and grant others. `progress`
/// changes with each call. Returns the number of calls, or a message about an unexpected error.
///
/// # Errors
///
/// Those of the granters, and of starting the process.
pub fn execute(
    setting: Setting,
    seed: u64,
    threads: usize,
    count: usize,
    progress: &AtomicU32,
) -> io::Result<Result<Tally, String>> {
    let mut owners = Owners::new(setting)?;
    let channel = Loopback::open(DOM0)?;
    let shared = &Shared {
        files: [Gntdev::open()?, Gntdev::open()?],
        grants: RwLock::new(owners.grants()),
        regions: Regions::new()?,
        mappings: Mutex::new([const { None }; SLOTS]),
        buffers: Mutex::new([const { None }; SLOTS]),
        port: channel.port(),
        vanishing: Mapping::anonymous(1, Protection::ReadWrite)?,
    };
    // A copy of this process, as long as that has one thread.
    let other = OtherProcess::start(|| calls(shared, !seed, count, progress))?;
    let sum = thread::scope(|scope| {
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
        let mut sum = Ok(Tally::default());
        for caller in callers {
            sum = added(sum, caller.join().expect("no thread panics"));
        }
        changed.map(|()| sum)
    })?;
    Ok(added(sum, other.finish()?))
}

/// Returns the sum of two tallies, or a message about an unexpected error.
fn added(sum: Result<Tally, String>, other: Result<Tally, String>) -> Result<Tally, String> {
    let (mut sum, other) = (sum?, other?);
    sum.add(&other);
    Ok(sum)
}

/// Calls in another process.
struct OtherProcess {
    child: Child,
    reader: UnixStream,
}

impl OtherProcess {
    fn start(calls: impl FnOnce() -> Result<Tally, String>) -> io::Result<Self> {
        let (reader, mut writer) = UnixStream::pair()?;
        let child = Child::spawn(|| {
            let report = calls().map_or_else(|message| message, |tally| tally.to_string());
            writer.write_all(report.as_bytes()).expect("the report");
        })?;
        Ok(Self { child, reader })
    }

    /// Waits for the end of the process. Returns the number of its calls, or a message.
    fn finish(mut self) -> io::Result<Result<Tally, String>> {
        let end = self.child.wait(LIMIT)?;
        if end != Some(End::Exited(0)) {
            return Ok(Err(format!("the end of the other process: {end:?}")));
        }
        let mut report = String::new();
        self.reader.read_to_string(&mut report)?;
        Ok(Tally::parse(&report).ok_or(format!("in the other process: {report}")))
    }
}

/// Makes the calls of one thread.
fn calls(shared: &Shared, seed: u64, count: usize, progress: &AtomicU32) -> Result<Tally, String> {
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
