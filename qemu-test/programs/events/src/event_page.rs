// SPDX-License-Identifier: GPL-2.0

//! The first page of another domain's event array, found by what is in it.
//!
//! No interface says where the page is. The hypervisor's debug key tells the state of all ports of
//! a domain, and while the domain is paused only one page of its memory has just that.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use guest_test::foreign_memory::ForeignMemory;

use crate::debug_key::Link;
use crate::debug_key::Port;
use crate::debug_key::Ports;

const PENDING: u32 = 1 << 31;
const MASKED: u32 = 1 << 30;
const LINKED: u32 = 1 << 29;
const BUSY: u32 = 1 << 28;
const LINK: u32 = (1 << 17) - 1;

/// Number of frames that are mapped at once.
const BATCH: u64 = 256;

/// Writes `link` into the event word of `port`, which is in a queue, of a domain whose memory is
/// auto-translated and that is paused. `ports` is its state, and it has `frames` frames from 0 on.
pub fn overwrite_link(
    domid: u32,
    frames: u64,
    ports: &Ports,
    port: u32,
    link: u32,
) -> io::Result<()> {
    let memory = ForeignMemory::open()?;
    let mut found = 0;
    for first in (0..frames).step_by(BATCH as usize) {
        let gfns: Vec<u64> = (first..frames.min(first + BATCH)).collect();
        let pages = memory.map(domid, &gfns)?;
        for index in pages.present() {
            let words = pages.words(index);
            if is_first_page(words, ports) {
                found += 1;
                let word = &words[port as usize];
                word.store(with_link(word.load(Relaxed), link), Relaxed);
            }
        }
    }
    match found {
        1 => Ok(()),
        _ => Err(io::Error::other(format!(
            "{found} pages look like the event array of domain {domid}"
        ))),
    }
}

/// True if these are the event words of the first ports.
fn is_first_page(words: &[AtomicU32], ports: &Ports) -> bool {
    let in_page = |(number, _): &(&u32, &Port)| (**number as usize) < words.len();
    let mut ports = ports.iter().filter(in_page).peekable();
    ports.peek().is_some()
        && ports
            .all(|(number, port)| words[*number as usize].load(Relaxed) & !BUSY == word_of(*port))
}

/// The event word of a port.
fn word_of(port: Port) -> u32 {
    let flag = |set, bit| if set { bit } else { 0 };
    let link = match port.link {
        Link::To(next) => LINKED | next,
        Link::Unlinked | Link::NoWord => 0,
    };
    flag(port.pending, PENDING) | flag(port.masked, MASKED) | link
}

fn with_link(word: u32, link: u32) -> u32 {
    word & !LINK | link & LINK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(pending: bool, masked: bool, link: Link) -> Port {
        Port {
            pending,
            masked,
            link,
        }
    }

    #[test]
    fn only_the_words_of_the_ports_are_the_page() {
        let ports = Ports::from([
            (1, port(false, true, Link::Unlinked)),
            (5, port(true, false, Link::To(9))),
            (9, port(true, false, Link::To(0))),
            // This one has its word in another page.
            (5000, port(true, true, Link::Unlinked)),
        ]);
        let words: Vec<AtomicU32> = (0..1024).map(|_| AtomicU32::new(MASKED)).collect();
        assert!(!is_first_page(&words, &ports));
        words[5].store(PENDING | LINKED | 9, Relaxed);
        words[9].store(PENDING | LINKED | BUSY, Relaxed);
        assert!(is_first_page(&words, &ports));
        words[9].store(PENDING | LINKED | 1, Relaxed);
        assert!(!is_first_page(&words, &ports));
        assert!(!is_first_page(&words, &Ports::new()));
    }

    #[test]
    fn the_rest_of_a_word_stays() {
        assert_eq!(with_link(PENDING | LINKED | 9, 0x18000), 0xa001_8000);
    }
}
