// SPDX-License-Identifier: GPL-2.0

//! Free memory of the hypervisor, exact to the page: debug key `m` prints it so, while `xl info`
//! rounds to mebibytes.

use std::io;

use crate::console_ring::ConsoleRing;

const BEGIN: &str = "Physical memory information:";
const END: &str = "Dom heap:";

/// Returns the free memory of the hypervisor, in KiB.
pub fn read() -> io::Result<u64> {
    let answer = ConsoleRing::open()?.press(c"m")?;
    parse(&answer).map_err(io::Error::other)
}

/// Parses the output of debug key `m`.
fn parse(console: &str) -> Result<u64, String> {
    let begin = console
        .rfind(BEGIN)
        .ok_or("Xen's console has no memory information")?;
    let end = console[begin..]
        .find(END)
        .ok_or("Xen's console has no end of the memory information")?;
    // The other lines are sums of these.
    let zones: Option<Vec<u64>> = console[begin..begin + end]
        .lines()
        .filter(|line| line.contains("heap[") || line.contains("Xen heap:"))
        .map(|line| {
            line.split_once(": ")?
                .1
                .strip_suffix("kB free")?
                .parse()
                .ok()
        })
        .collect();
    match zones {
        // Xen's own heap, and at least one zone of the domain heap.
        Some(zones) if zones.len() >= 2 => Ok(zones.iter().sum()),
        _ => Err(format!("not memory information: {:?}", &console[begin..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
(XEN) 'm' pressed -> dumping something
(XEN) Physical memory information:
(XEN)     Xen heap: 4kB free
(XEN)     heap[15]: 64000kB free
(XEN)     heap[19]: 188456kB free
(XEN)     DMA heap: 252456kB free
(XEN)     heap[20]: 100kB free
(XEN)     Dom heap: 100kB free
";

    #[test]
    fn the_zones_are_added_up() {
        assert_eq!(parse(CONSOLE), Ok(4 + 64000 + 188_456 + 100));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert!(parse(&CONSOLE[..CONSOLE.find(END).unwrap()]).is_err());
        assert!(parse(&CONSOLE[CONSOLE.find(BEGIN).unwrap() + 1..]).is_err());
        assert!(parse(&CONSOLE.replace("100kB", "")).is_err());
    }
}
