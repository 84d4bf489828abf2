// SPDX-License-Identifier: GPL-2.0

//! The grant device's requests for dma-bufs: exports are dma-bufs made of
//! granted pages, imports are dma-bufs whose pages are granted.

use std::io;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use xen_grants::dma_buf::DmaBuf;

use crate::gntdev::Gntdev;
use crate::gntdev::Request;

/// What kind of memory is behind an export, as bits of its flags.
pub mod memory {
    /// Write-combining memory for devices.
    pub const WRITE_COMBINE: u32 = 1;
    /// Coherent memory for devices.
    pub const COHERENT: u32 = 2;
}

/// Size of what precedes the references in the argument of
/// [`Request::DMABUF_EXPORT`]: flags, count, descriptor, domain.
pub const EXPORT_HEADER: usize = 4 * size_of::<u32>();

/// The same of [`Request::DMABUF_EXPORT_AT`]: flags, count, offset,
/// descriptor, domain.
pub const EXPORT_AT_HEADER: usize = 5 * size_of::<u32>();

/// The same of [`Request::DMABUF_IMPORT`]: descriptor, count, domain, a word
/// that has no meaning.
pub const IMPORT_HEADER: usize = 4 * size_of::<u32>();

/// The same of [`Request::DMABUF_IMPORT_AT`], which has the offset behind
/// those.
pub const IMPORT_AT_HEADER: usize = 5 * size_of::<u32>();

/// The most pages that a dma-buf can have and be imported. For larger counts
/// the device answers nothing but an error.
const LARGEST_IMPORT: u32 = 1 << 16;

/// What an import asks for.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// The dma-buf's descriptor.
    pub number: u32,
    /// How many pages the program believes that it has.
    pub count: u32,
    /// The domain that the pages are granted to.
    pub domid: u32,
    /// A word that has no meaning.
    pub reserved: u32,
}

/// Exports.
impl Gntdev {
    /// Makes a dma-buf of grants of domain `domid`; `flags` is of the bits in
    /// [`memory`].
    pub fn export(&self, flags: u32, domid: u32, references: &[u32]) -> io::Result<DmaBuf> {
        self.export_claiming(references.len() as u32, flags, domid, references)
    }

    /// As [`Self::export`], but says that there are `count` references.
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

    /// As [`Self::export`], of data that begins at byte `offset` of the pages.
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

    /// The answer is in word `answer` of the header.
    fn send_export(
        &self,
        request: Request,
        header: &[u32],
        answer: usize,
        references: &[u32],
    ) -> io::Result<DmaBuf> {
        let mut words = [header, references].concat();
        // The request's size counts one reference also where there is none.
        words.push(0);
        // SAFETY: The device writes to the header only, which the vector holds;
        // it may read further, up to `count` references, but then gets whatever
        // bytes are there or an error.
        unsafe { self.ioctl(request, words.as_mut_ptr() as usize)? };
        let fd = i32::try_from(words[answer]).map_err(|_| {
            let message = format!("not a descriptor: {:#x}", words[answer]);
            io::Error::other(message)
        })?;
        // SAFETY: The driver has just opened the descriptor, and nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
    }

    /// Waits for the end of the dma-buf that this file made with this
    /// descriptor, `limit` milliseconds at most.
    pub fn wait_released(&self, number: u32, limit: u32) -> io::Result<()> {
        let mut argument = [number, limit];
        // SAFETY: The argument is what this request wants.
        unsafe { self.ioctl(Request::DMABUF_WAIT_RELEASED, &raw mut argument as usize) }
    }
}

/// Imports.
impl Gntdev {
    /// Grants the `count` pages of `buffer` to domain `domid` and returns the
    /// references, in the order of the pages.
    pub fn import(&self, buffer: &DmaBuf, domid: u32, count: usize) -> io::Result<Vec<u32>> {
        self.import_claiming(&Import {
            number: buffer.number(),
            count: count as u32,
            domid,
            reserved: 0,
        })
    }

    /// As [`Self::import`], of whatever `import` says.
    pub fn import_claiming(&self, import: &Import) -> io::Result<Vec<u32>> {
        let header = [import.number, import.count, import.domid, import.reserved];
        self.send_import(Request::DMABUF_IMPORT, &header)
            .map(|(_, references)| references)
    }

    /// As [`Self::import_claiming`], and returns also where in the pages the
    /// data begins.
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

    /// Returns the header as the device left it, and the references.
    fn send_import(&self, request: Request, header: &[u32]) -> io::Result<(Vec<u32>, Vec<u32>)> {
        let count = header[1];
        let room = count.clamp(1, LARGEST_IMPORT) as usize;
        let mut words = header.to_vec();
        words.resize(header.len() + room, u32::MAX);
        // SAFETY: The device writes the header and `count` references, for
        // which there is room unless there are too many for any import.
        unsafe { self.ioctl(request, words.as_mut_ptr() as usize)? };
        let references = words.split_off(header.len());
        Ok((words, references))
    }

    /// Ends the grants of the dma-buf that this file imported with this
    /// descriptor.
    pub fn release_import(&self, number: u32) -> io::Result<()> {
        let mut argument = [number, 0];
        // SAFETY: The argument is what this request wants.
        unsafe { self.ioctl(Request::DMABUF_RELEASE_IMPORT, &raw mut argument as usize) }
    }
}
