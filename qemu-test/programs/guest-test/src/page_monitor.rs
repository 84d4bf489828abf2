// SPDX-License-Identifier: GPL-2.0

//! Interfaces of the kernel that tell which pages a program uses. They change page-table entries of
//! a process without its knowledge.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use rustix::ioctl;
use rustix::ioctl::Updater;
use xen_grants::mapping::Mapping;

/// Bits of the page-table entries that a write to `/proc/PID/clear_refs` clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// The accessed bits of all pages.
    Accessed = 1,
    /// The accessed bits of anonymous pages.
    AccessedAnonymous = 2,
    /// The accessed bits of pages of files.
    AccessedFiles = 3,
    /// The soft-dirty bits; the pages are protected from writing.
    SoftDirty = 4,
    /// None: the peak of the process' memory is set to what it uses now.
    Peak = 5,
}

impl Bits {
    /// All values that the file takes.
    pub const ALL: [Self; 5] = [
        Self::Accessed,
        Self::AccessedAnonymous,
        Self::AccessedFiles,
        Self::SoftDirty,
        Self::Peak,
    ];
}

/// Clears these bits of this process: a write to `/proc/self/clear_refs`.
pub fn clear(bits: Bits) -> io::Result<()> {
    fs::write("/proc/self/clear_refs", (bits as u8).to_string())
}

/// `struct pm_scan_arg` of `include/uapi/linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Looks for the written pages of `mapping` and protects them from writing, where the mapping
/// allows that: `PAGEMAP_SCAN` with `PM_SCAN_WP_MATCHING`. No page is reported.
pub fn scan_written(mapping: &Mapping) -> io::Result<()> {
    const SCAN: ioctl::Opcode = ioctl::opcode::read_write::<Scan>(b'f', 16);
    const WRITE_PROTECT: u64 = 1 << 0;
    const WRITTEN: u64 = 1 << 1;
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: WRITE_PROTECT,
        start: mapping.address() as u64,
        end: (mapping.address() + mapping.len()) as u64,
        category_mask: WRITTEN,
        ..Scan::default()
    };
    let pagemap = File::open("/proc/self/pagemap")?;
    // SAFETY: The argument of this request is a `pm_scan_arg`, which the kernel reads and writes.
    // It has no array for the kernel to fill.
    unsafe { ioctl::ioctl(&pagemap, Updater::<SCAN, Scan>::new(&mut scan)) }?;
    Ok(())
}

/// Marks all pages of the machine as idle, which clears the accessed bits of those that the kernel
/// can reclaim. Returns `false` if the kernel has no idle page tracking.
pub fn mark_idle() -> io::Result<bool> {
    /// Each bit is a page.
    const MARKS: [u8; 4096] = [0xff; 4096];
    let bitmap = match OpenOptions::new()
        .write(true)
        .open("/sys/kernel/mm/page_idle/bitmap")
    {
        Ok(bitmap) => bitmap,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut place = 0;
    loop {
        match bitmap.write_at(&MARKS, place) {
            Ok(0) => return Ok(true),
            Ok(count) => place += count as u64,
            // The end of memory.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}
