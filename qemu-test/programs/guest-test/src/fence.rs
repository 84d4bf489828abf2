// SPDX-License-Identifier: GPL-2.0

//! Fences of dma-bufs that a program signals, by `sw_sync` of the kernel.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use xen_grants::dma_buf::DmaBuf;

use crate::call::check;

const SW_SYNC: &str = "/sys/kernel/debug/sync/sw_sync";

/// `SW_SYNC_IOC_CREATE_FENCE`, whose argument is a [`NewFence`], and `SW_SYNC_IOC_INC`.
const CREATE_FENCE: u32 = 0xc028_5700;
const INCREMENT: u32 = 0x4004_5701;
/// `DMA_BUF_IOCTL_IMPORT_SYNC_FILE`, whose argument is an [`AddedFence`].
const IMPORT_SYNC_FILE: u32 = 0x4008_6203;
/// `DMA_BUF_SYNC_WRITE`: the fence belongs to a device that writes.
const WRITE: u32 = 2;

/// `struct sw_sync_create_fence_data`.
#[repr(C)]
struct NewFence {
    value: u32,
    name: [u8; 32],
    fence: i32,
}

/// `struct dma_buf_import_sync_file`.
#[repr(C)]
struct AddedFence {
    flags: u32,
    fence: i32,
}

/// Work of a device that writes to a buffer, represented by a fence of the buffer. Dropping it ends
/// the work.
#[derive(Debug)]
pub struct DeviceWork {
    timeline: File,
}

impl DeviceWork {
    /// Begins work on `buffer`.
    pub fn begin(buffer: &DmaBuf) -> io::Result<Self> {
        let timeline = File::options().read(true).write(true).open(SW_SYNC)?;
        let mut new = NewFence {
            value: 1,
            name: [0; 32],
            fence: -1,
        };
        // SAFETY: The request reads and writes this structure.
        check(unsafe { libc::ioctl(timeline.as_raw_fd(), CREATE_FENCE.into(), &raw mut new) })?;
        // SAFETY: The kernel has just opened the descriptor, and nothing else owns it.
        let fence = unsafe { OwnedFd::from_raw_fd(new.fence) };
        let added = AddedFence {
            flags: WRITE,
            fence: fence.as_raw_fd(),
        };
        let descriptor = buffer.number() as i32;
        // SAFETY: The request reads this structure.
        check(unsafe { libc::ioctl(descriptor, IMPORT_SYNC_FILE.into(), &raw const added) })?;
        Ok(Self { timeline })
    }

    /// Ends the work.
    pub fn end(self) -> io::Result<()> {
        let work = 1u32;
        // SAFETY: The request reads a number.
        check(unsafe { libc::ioctl(self.timeline.as_raw_fd(), INCREMENT.into(), &raw const work) })
    }
}
