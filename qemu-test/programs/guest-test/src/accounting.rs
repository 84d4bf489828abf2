// SPDX-License-Identifier: GPL-2.0

//! Resources in use, by the counters of the kernel and of Xen.

use std::fs;
use std::io;

use crate::counters::Counters;
use crate::grant_usage::GrantUsage;
use crate::platform::memory_info;
use crate::platform::pinned_pages;
use crate::platform::Driver;
use crate::totals;

/// Prefix of the driver's totals among the counters.
pub const DRIVER: &str = "gntdev_";

/// Number of pages that are pinned by anyone in the kernel.
pub const PINNED_PAGES: &str = "pinned_pages";

/// Reads all counters. Only dom0 may: those of Xen come from its console.
///
/// - `gntdev_...`: the totals of the Rust driver;
/// - `xen_dN_grants_in_use`: grants of domain N that some domain has mapped or is copying;
/// - `xen_dN_grant_frames`, `xen_dN_maptrack_frames`: pages of the table of the grants of domain N,
///   and of the table of the grants that it has mapped. Both only grow;
/// - `event_channels`: event channels that this kernel has bound, for itself and for programs;
/// - `pinned_pages`: see [`PINNED_PAGES`];
/// - `files`: open files of all programs and of the kernel;
/// - `slab_objects`: objects in the kernel's slab caches, if the kernel lists them;
/// - `slab_unreclaimable`, `vmalloc_used`: kernel memory, in KiB.
pub fn read() -> io::Result<Counters> {
    let mut counters = Counters::default();
    if Driver::current()? == Driver::Rust {
        for (name, value) in totals::read()?.iter() {
            counters.push(format!("{DRIVER}{name}"), value);
        }
    }

    let usage = GrantUsage::read()?;
    for (domid, frames) in usage.frames() {
        let in_use = usage.count_of_domain(domid);
        counters.push(format!("xen_d{domid}_grants_in_use"), in_use as i64);
        counters.push(format!("xen_d{domid}_grant_frames"), frames.grant.into());
        counters.push(
            format!("xen_d{domid}_maptrack_frames"),
            frames.maptrack.into(),
        );
    }

    let interrupts = fs::read_to_string("/proc/interrupts")?;
    counters.push("event_channels", event_channels(&interrupts));

    counters.push(PINNED_PAGES, pinned_pages()?);

    let files = fs::read_to_string("/proc/sys/fs/file-nr")?;
    counters.push("files", first_number(&files)?);

    match fs::read_to_string("/proc/slabinfo") {
        Ok(text) => counters.push("slab_objects", slab_objects(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    counters.push("slab_unreclaimable", memory_info("SUnreclaim")? as i64);
    counters.push("vmalloc_used", memory_info("VmallocUsed")? as i64);
    Ok(counters)
}

/// Number of lines of `/proc/interrupts` whose controller delivers event channels.
fn event_channels(interrupts: &str) -> i64 {
    let is_event_channel =
        |line: &&str| line.split_whitespace().any(|word| word.starts_with("xen-"));
    interrupts.lines().filter(is_event_channel).count() as i64
}

/// Number of objects in all caches of `/proc/slabinfo`.
fn slab_objects(text: &str) -> io::Result<i64> {
    let is_cache = |line: &&str| !line.starts_with("slabinfo") && !line.starts_with('#');
    text.lines()
        .filter(is_cache)
        .map(|line| first_number(line.split_once(' ').map_or("", |(_, numbers)| numbers)))
        .sum()
}

fn first_number(text: &str) -> io::Result<i64> {
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no number in {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_of_event_channels_are_counted() {
        let text = "\
            CPU0       CPU1
   0:         20          0  xen-pirq   2-edge      timer
  16:       1200          0  xen-percpu    -virq      timer0
  28:          3          0  xen-dyn   1-event     evtchn:xenstored
 NMI:          0          0   Non-maskable interrupts
";
        assert_eq!(event_channels(text), 3);
    }

    #[test]
    fn objects_of_all_caches_are_added_up() {
        let text = "\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize>
kmalloc-8k            12     16   8192
dentry              3000   3010    192
";
        assert_eq!(slab_objects(text).unwrap(), 3012);
        assert!(slab_objects("dentry many 3010\n").is_err());
    }
}
