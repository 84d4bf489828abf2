// SPDX-License-Identifier: GPL-2.0

//! Requests of the grant device for dma-bufs: exports are dma-bufs of granted pages, imports are
//! dma-bufs whose pages are granted.

use std::io;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use xen_grants::dma_buf::DmaBuf;

use crate::gntdev::Gntdev;
use crate::gntdev::Request;

/// Kind of memory of an export, as bits of its flags.
pub mod memory {
    /// Write-combining memory for devices.
    pub const WRITE_COMBINE: u32 = 1;
    /// Coherent memory for devices.
    pub const COHERENT: u32 = 2;
}

/// Maximum number of pages of a dma-buf that can be imported. For larger counts the device writes
/// nothing, and fails.
const LARGEST_IMPORT: u32 = 1 << 16;

/// Arguments of an import.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// Descriptor of the dma-buf.
    pub number: u32,
    /// Number of pages that the program claims.
    pub count: u32,
    /// Domain that the pages are granted to.
    pub domid: u32,
    /// The reserved word.
    pub reserved: u32,
}

/// Exports.
impl Gntdev {
    /// Exports grants of domain `domid` as a dma-buf; `flags` is a combination of the bits in
    /// [`memory`].
    pub fn export(&self, flags: u32, domid: u32, references: &[u32]) -> io::Result<DmaBuf> {
        self.export_claiming(references.len() as u32, flags, domid, references)
    }

    /// As [`Self::export`], but with `count` as the number of references in the argument.
    pub fn export_claiming(
        &self,
        count: u32,
        flags: u32,
        domid: u32,
        references: &[u32],
    ) -> io::Result<DmaBuf> {
        let header = [flags, count, u32::MAX, domid];
        self.send_export(Request::DMABUF_EXPORT, &header, 2, references)
    }

    /// As [`Self::export`], with data that begin at byte `offset` of the pages.
    pub fn export_at(
        &self,
        offset: u32,
        flags: u32,
        domid: u32,
        references: &[u32],
    ) -> io::Result<DmaBuf> {
        let count = references.len() as u32;
        let header = [flags, count, offset, u32::MAX, domid];
        self.send_export(Request::DMABUF_EXPORT_AT, &header, 3, references)
    }

    /// Sends `request` with the words of `header` before the references. The device returns the
    /// descriptor in word `answer` of the header.
    fn send_export(
        &self,
        request: Request,
        header: &[u32],
        answer: usize,
        references: &[u32],
    ) -> io::Result<DmaBuf> {
        let mut words = [header, references].concat();
        // The size of the request includes one reference also if there is none.
        words.push(0);
        // SAFETY: The device writes to the header only, which the vector holds. It may read
        // further, up to `count` references, and then reads arbitrary bytes or fails.
        unsafe { self.ioctl(request, words.as_mut_ptr() as usize)? };
        let fd = i32::try_from(words[answer]).map_err(|_| {
            let message = format!("not a descriptor: {:#x}", words[answer]);
            io::Error::other(message)
        })?;
        // SAFETY: The driver has just opened the descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
    }

    /// Waits for the release of the dma-buf that this file exported with descriptor `number`, for
    /// at most `limit` milliseconds.
    pub fn wait_released(&self, number: u32, limit: u32) -> io::Result<()> {
        let mut argument = [number, limit];
        // SAFETY: The argument has the type of this request.
        unsafe { self.ioctl(Request::DMABUF_WAIT_RELEASED, &raw mut argument as usize) }
    }
}

/// Imports.
impl Gntdev {
    /// Grants the `count` pages of `buffer` to domain `domid` and returns the references, in the
    /// order of the pages.
    pub fn import(&self, buffer: &DmaBuf, domid: u32, count: usize) -> io::Result<Vec<u32>> {
        self.import_claiming(&Import {
            number: buffer.number(),
            count: count as u32,
            domid,
            reserved: 0,
        })
    }

    /// As [`Self::import`], with the arguments in `import`.
    pub fn import_claiming(&self, import: &Import) -> io::Result<Vec<u32>> {
        let header = [import.number, import.count, import.domid, import.reserved];
        self.send_import(Request::DMABUF_IMPORT, &header)
            .map(|(_, references)| references)
    }

    /// As [`Self::import_claiming`], and also returns the offset of the data in the pages.
    pub fn import_at(&self, import: &Import) -> io::Result<(u32, Vec<u32>)> {
        let offset = u32::MAX;
        let header = [
            import.number,
            import.count,
            import.domid,
            import.reserved,
            offset,
        ];
        let (header, references) = self.send_import(Request::DMABUF_IMPORT_AT, &header)?;
        Ok((header[4], references))
    }

    /// Returns the header after the request, and the references.
    fn send_import(&self, request: Request, header: &[u32]) -> io::Result<(Vec<u32>, Vec<u32>)> {
        let count = header[1];
        let room = count.clamp(1, LARGEST_IMPORT) as usize;
        let mut words = header.to_vec();
        words.resize(header.len() + room, u32::MAX);
        // SAFETY: The device writes the header and `count` references, for which there is room
        // unless the count is too large for any import.
        unsafe { self.ioctl(request, words.as_mut_ptr() as usize)? };
        let references = words.split_off(header.len());
        Ok((words, references))
    }

    /// Ends the grants of the dma-buf that this file imported with descriptor `number`.
    pub fn release_import(&self, number: u32) -> io::Result<()> {
        let mut argument = [number, 0];
        // SAFETY: The argument has the type of this request.
        unsafe { self.ioctl(Request::DMABUF_RELEASE_IMPORT, &raw mut argument as usize) }
    }
}
