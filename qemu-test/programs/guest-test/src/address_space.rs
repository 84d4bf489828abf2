// SPDX-License-Identifier: GPL-2.0

//! Limit of the addresses that this process may map: setrlimit(2) with RLIMIT_AS.

use std::fs;
use std::io;

use rustix::process::getrlimit;
use rustix::process::setrlimit;
use rustix::process::Resource;
use rustix::process::Rlimit;
use xen_grants::PAGE_SIZE;

/// Lower limit, which ends when dropped.
pub struct AddressSpace {
    before: Rlimit,
}

impl AddressSpace {
    /// Allows the addresses that are in use now, and `more` bytes.
    pub fn limit_to_used_and(more: usize) -> io::Result<Self> {
        let text = fs::read_to_string("/proc/self/statm")?;
        let pages: Option<usize> = text.split(' ').next().and_then(|word| word.parse().ok());
        let pages = pages.ok_or_else(|| io::Error::other(format!("no size in {text:?}")))?;
        let before = getrlimit(Resource::As);
        let limit = Rlimit {
            current: Some((pages * PAGE_SIZE + more) as u64),
            maximum: before.maximum,
        };
        setrlimit(Resource::As, limit)?;
        Ok(Self { before })
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::As, self.before);
    }
}
