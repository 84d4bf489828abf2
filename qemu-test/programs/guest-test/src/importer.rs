// SPDX-License-Identifier: GPL-2.0

//! Device that imports a dma-buf and reads and writes its memory: the kernel module for tests in
//! `drivers/xen/gntdev/test/dma_buf_importer.c`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::io::Errno;
use xen_grants::dma_buf::DmaBuf;

use crate::call::check;
use crate::kernel_module;

const MODULE: &str = "/lib/modules/xen_dma_buf_importer.ko";
const DEVICE: &str = "/dev/xen-dma-buf-importer";

/// `IMPORTER_IMPORT`, `IMPORTER_MAP` and `IMPORTER_UNMAP`.
const IMPORT: u32 = 0x4900;
const MAP: u32 = 0xc00c_4901;
const UNMAP: u32 = 0x4902;

const BOUNCES: u32 = 1;
const ALIGNED: u32 = 2;

/// Slot for reading through the contiguous mapping of the kernel.
const CPU: u32 = 0xff;

/// Direction of the transfers of a mapping, with the value that the kernel has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Direction {
    /// The device reads and writes the memory.
    Bidirectional = 0,
    /// The device reads the memory.
    ToDevice = 1,
    /// The device writes the memory.
    FromDevice = 2,
}

/// Properties of a mapping for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// True if all of it goes through bounce buffers.
    pub bounces: bool,
    /// True if all entries of the scatter list begin and end at page boundaries.
    pub is_aligned: bool,
}

/// dma-buf that is attached to the device. Dropping it unmaps and detaches the buffer.
///
/// The device sees the buffer in the state of the last mapping or synchronization, like a device
/// that is not coherent with the caches.
#[derive(Debug)]
pub struct Importer {
    file: File,
}

impl Importer {
    /// Attaches `buffer`, after loading the module unless it is loaded.
    pub fn attach(buffer: &DmaBuf) -> io::Result<Self> {
        match kernel_module::load(Path::new(MODULE)) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {}
            result => result?,
        }
        let file = File::options().read(true).write(true).open(DEVICE)?;
        // SAFETY: The argument of this request is a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), IMPORT.into(), buffer.number()) })?;
        Ok(Self { file })
    }

    /// Maps the buffer for the device, as `slot`.
    pub fn map(&self, slot: u32, direction: Direction) -> io::Result<Layout> {
        let mut argument = [slot, direction as u32, 0];
        // SAFETY: The request reads and writes three numbers.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), MAP.into(), argument.as_mut_ptr()) })?;
        let [_, _, flags] = argument;
        Ok(Layout {
            bounces: flags & BOUNCES != 0,
            is_aligned: flags & ALIGNED != 0,
        })
    }

    /// Unmaps the buffer from `slot`.
    pub fn unmap(&self, slot: u32) -> io::Result<()> {
        // SAFETY: The argument of this request is a number.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), UNMAP.into(), slot) })
    }

    /// Has the device read one byte.
    pub fn read(&self, slot: u32, offset: u32) -> io::Result<u8> {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, position(slot, offset))?;
        Ok(byte[0])
    }

    /// Has the device write one byte.
    pub fn write(&self, slot: u32, offset: u32, value: u8) -> io::Result<()> {
        self.file.write_all_at(&[value], position(slot, offset))
    }

    /// Reads `count` bytes from the start of the buffer through the contiguous mapping of the
    /// kernel, as drivers do.
    pub fn read_by_cpu(&self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, position(CPU, 0))?;
        Ok(bytes)
    }
}

fn position(slot: u32, offset: u32) -> u64 {
    (u64::from(slot) << 32) | u64::from(offset)
}
