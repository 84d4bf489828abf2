// SPDX-License-Identifier: GPL-2.0

//! Figures: what is in use in dom0, in Xen and in xenstore.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use clients::command::succeed;
use guest_test::accounting;
use guest_test::counters::Counters;
use guest_test::domain_list::DomainList;
use guest_test::free_memory;
use guest_test::platform::memory_info;
use guest_test::port_list::open_ports;
use suites::wait::settle_with;

use crate::bound;
use crate::bound::Bound;

/// Log files of the toolstack, a few for each domain that it has made. They are in memory.
const LOGS: &str = "/var/log/xen";

/// Caches of files, of names and of inodes are dropped, without a message in the kernel's log.
const DROP_CACHES: (&str, &str) = ("/proc/sys/vm/drop_caches", "7");

/// Reads all figures: those of [`accounting::read`], and
///
/// - `domains`: domains that Xen knows, also dying ones;
/// - `xen_free`: free memory of Xen, in KiB;
/// - `xen_d0_ports`: ports of dom0 that are not closed, by Xen;
/// - `xenstore_nodes`: nodes of xenstore;
/// - `processes`: programs that run in dom0;
/// - `dom0_free`: memory of dom0 that is free once caches have been dropped, in KiB.
pub fn read() -> io::Result<Counters> {
    tidy()?;
    let mut figures = accounting::read()?;
    figures.push("domains", DomainList::open()?.all()?.len() as i64);
    figures.push("xen_free", free_memory::read()? as i64);
    figures.push("xen_d0_ports", open_ports()?.len() as i64);
    figures.push("xenstore_nodes", lines(&succeed("xenstore-ls", &["-f"])?));
    figures.push("processes", processes()?);
    figures.push("dom0_free", memory_info("MemFree")? as i64);
    Ok(figures)
}

/// Longest pause between two readings, which take some time themselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const PAUSES: RangeInclusive<Duration> = Duration::from_millis(100)..=LONGEST_PAUSE;

/// Reads all figures until they are as `wanted` or `limit` has passed: work in the background may
/// still give something back.
pub fn settled(limit: Duration, wanted: impl Fn(&Counters) -> bool) -> io::Result<Counters> {
    settle_with(PAUSES, limit, read, wanted)
}

/// As [`settled`], when it is not known yet how they are to be: those that must be equal at the end
/// are the same twice, with a long pause between.
pub fn settled_first(limit: Duration) -> io::Result<Counters> {
    let deadline = Instant::now() + limit;
    let mut before = read()?;
    loop {
        thread::sleep(LONGEST_PAUSE);
        let figures = read()?;
        let rest = figures
            .changes_since(&before)
            .iter()
            .all(|(name, change)| bound::of(name) != Bound::Equal || *change == 0);
        if rest || Instant::now() >= deadline {
            return Ok(figures);
        }
        before = figures;
    }
}

/// Removes what is only kept for people to read, or to be faster.
fn tidy() -> io::Result<()> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    for entry in fs::read_dir(LOGS).map_err(|error| named(LOGS.as_ref(), error))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let path = entry.path();
            fs::remove_file(&path).map_err(|error| named(&path, error))?;
        }
    }
    let (path, value) = DROP_CACHES;
    fs::write(path, value).map_err(|error| named(path.as_ref(), error))
}

fn lines(text: &str) -> i64 {
    text.lines().count() as i64
}

/// Number of processes of programs; threads of the kernel have no command line.
fn processes() -> io::Result<i64> {
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let is_process = entry.file_name().to_string_lossy().parse::<u32>().is_ok();
        // One that has ended meanwhile does not count.
        let command = is_process.then(|| fs::read(entry.path().join("cmdline")));
        count += i64::from(matches!(command, Some(Ok(line)) if !line.is_empty()));
    }
    Ok(count)
}
