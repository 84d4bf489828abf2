// SPDX-License-Identifier: GPL-2.0

//! dma-bufs made of granted pages (exports), and dma-bufs whose pages are granted (imports).
//!
//! The functions are those of [`GrantTable`]. The forms with a data offset are requests of this
//! project's driver (`uapi/xen/gntdev_dmabuf_v2.h`), which libxengnttab does not have; they fail
//! with `ENOTTY` on a driver that lacks them.

use std::ffi::c_void;
use std::mem;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::ioctl;
use rustix::ioctl::Direction;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;

use crate::dma_buf::DmaBuf;
use crate::error::check;
use crate::error::Error;
use crate::error::Result;
use crate::grant_table::GrantTable;
use crate::sys;
use crate::PAGE_SIZE;

/// Memory that the driver maps the grants of an export into. On x86, the devices of which are
/// coherent, all kinds are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Ordinary pages. They suit most importers.
    Ordinary,
    /// DMA memory with write-combining access (`GNTDEV_DMA_FLAG_WC`).
    WriteCombine,
    /// Coherent DMA memory (`GNTDEV_DMA_FLAG_COHERENT`).
    Coherent,
}

impl Backing {
    fn flags(self) -> u32 {
        match self {
            Self::Ordinary => 0,
            Self::WriteCombine => 1,
            Self::Coherent => 2,
        }
    }
}

/// Exports and imports.
impl GrantTable {
    /// Makes a dma-buf of pages that domain `domid` granted.
    ///
    /// # Errors
    ///
    /// `EINVAL` if Xen refuses a grant, `ENOSPC` if Xen's table of this domain's mappings is full,
    /// `EOPNOTSUPP` for a grant of this domain itself if it is auto-translated on x86, `ENOMEM` if
    /// there is no memory for the mapping.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use xen_grants::grant_dma_buf::Backing;
    /// use xen_grants::grant_table::GrantTable;
    ///
    /// let table = GrantTable::open()?;
    /// let export = table.export(3, &[8, 9], Backing::Ordinary)?;
    /// // A graphics card or another program uses the descriptor `export.as_fd()`.
    /// let closed = export.close();
    /// closed.wait_released(Duration::from_secs(5))?;
    /// // Domain 3 may have its pages back.
    /// # Ok::<(), xen_grants::Error>(())
    /// ```
    pub fn export(&self, domid: u32, references: &[u32], backing: Backing) -> Result<Export<'_>> {
        let mut fd = u32::MAX;
        // SAFETY: The handle is open; the array has `count` elements.
        check("xengnttab_dmabuf_exp_from_refs", unsafe {
            sys::xengnttab_dmabuf_exp_from_refs(
                self.handle(),
                domid,
                backing.flags(),
                references.len() as u32,
                references.as_ptr(),
                &raw mut fd,
            )
        })?;
        // SAFETY: The driver has just opened the descriptor, and nothing else owns it.
        Ok(unsafe { self.exported(fd) })
    }

    /// As [`export`](Self::export), with data that begin at byte `offset` of the pages. Devices see
    /// the buffer from there on; it begins with the page that the offset is in.
    ///
    /// # Errors
    ///
    /// As for `export`; `EINVAL` if the offset is not within the pages, `ENOTTY` if the driver does
    /// not have this request.
    pub fn export_at(
        &self,
        domid: u32,
        references: &[u32],
        backing: Backing,
        offset: u32,
    ) -> Result<Export<'_>> {
        let count = references.len() as u32;
        let header = [backing.flags(), count, offset, u32::MAX, domid];
        // The structure has one reference at least.
        let mut words = [&header, references, &[0]].concat();
        let request = OffsetRequest {
            number: OffsetRequest::EXP_FROM_REFS_V2,
            words: &mut words,
        };
        // SAFETY: The argument is a `struct ioctl_gntdev_dmabuf_exp_from_refs_v2` with `count`
        // references.
        unsafe { ioctl::ioctl(self, request) }
            .map_err(|error| Error::new("IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2", error))?;
        // SAFETY: The driver has just opened the descriptor, and nothing else owns it.
        Ok(unsafe { self.exported(words[3]) })
    }

    /// # Safety
    ///
    /// The descriptor must be open and have no owner.
    unsafe fn exported(&self, fd: u32) -> Export<'_> {
        // SAFETY: The caller guarantees it.
        let file = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Export {
            table: self,
            buffer: file.into(),
        }
    }

    /// The export of this table whose descriptor had number `number`. This is for a program that
    /// closes the descriptor itself, as a [`DmaBuf`].
    pub fn closed_export(&self, number: u32) -> ClosedExport<'_> {
        ClosedExport {
            table: self,
            number,
        }
    }

    /// Grants the pages of `buffer` to domain `domid`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the data do not begin at the start of a page or there is no such domain,
    /// `EOPNOTSUPP` if the memory is a device's, `ENOSPC` if there are no grant references left.
    pub fn import<'a>(&'a self, domid: u32, buffer: &'a DmaBuf) -> Result<Import<'a>> {
        let mut references = vec![0; pages(buffer)?];
        // SAFETY: The handle is open; the array has `count` elements.
        check("xengnttab_dmabuf_imp_to_refs", unsafe {
            sys::xengnttab_dmabuf_imp_to_refs(
                self.handle(),
                domid,
                buffer.number(),
                references.len() as u32,
                references.as_mut_ptr(),
            )
        })?;
        Ok(Import {
            table: self,
            buffer,
            references,
            offset: 0,
        })
    }

    /// As [`import`](Self::import), of a buffer whose data may begin within a page;
    /// [`Import::offset`] tells where.
    ///
    /// # Errors
    ///
    /// As for `import`; `ENOTTY` if the driver does not have this request.
    pub fn import_at<'a>(&'a self, domid: u32, buffer: &'a DmaBuf) -> Result<Import<'a>> {
        let count = pages(buffer)?;
        let mut words = vec![buffer.number(), count as u32, domid, 0, u32::MAX];
        words.resize(OffsetRequest::HEADER + count, 0);
        let request = OffsetRequest {
            number: OffsetRequest::IMP_TO_REFS_V2,
            words: &mut words,
        };
        // SAFETY: The argument is a `struct ioctl_gntdev_dmabuf_imp_to_refs_v2` with space for
        // `count` references.
        unsafe { ioctl::ioctl(self, request) }
            .map_err(|error| Error::new("IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2", error))?;
        let references = words.split_off(OffsetRequest::HEADER);
        Ok(Import {
            table: self,
            buffer,
            references,
            offset: words[4],
        })
    }
}

fn pages(buffer: &DmaBuf) -> Result<usize> {
    Ok(buffer.size()? as usize / PAGE_SIZE)
}

/// A dma-buf of granted pages.
///
/// Dropping it closes the descriptor, and the grants are unmapped when nobody else uses the buffer
/// any more. [`close`](Self::close) does the same, and lets the program wait for that moment: only
/// then may the granter reuse its pages.
#[derive(Debug)]
pub struct Export<'a> {
    table: &'a GrantTable,
    buffer: DmaBuf,
}

impl<'a> Export<'a> {
    /// Closes the descriptor.
    pub fn close(self) -> ClosedExport<'a> {
        ClosedExport {
            table: self.table,
            number: self.buffer.number(),
        }
    }

    /// The buffer alone, which outlives the table.
    pub fn into_dma_buf(self) -> DmaBuf {
        self.buffer
    }
}

impl Deref for Export<'_> {
    type Target = DmaBuf;

    fn deref(&self) -> &DmaBuf {
        &self.buffer
    }
}

impl AsFd for Export<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.buffer.as_fd()
    }
}

/// An export whose descriptor is closed, by the number that the descriptor had.
///
/// A newer export of the same table may get the same number, which then names that one until it is
/// released: wait before the next export, or use a table for each.
#[derive(Debug)]
pub struct ClosedExport<'a> {
    table: &'a GrantTable,
    number: u32,
}

impl ClosedExport<'_> {
    /// Waits until nobody uses the buffer any more and its grants are unmapped, at most for
    /// `limit`, of which milliseconds count.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if the buffer is still in use, `EINTR` if a signal came first. The wait may be
    /// repeated.
    pub fn wait_released(&self, limit: Duration) -> Result<()> {
        let milliseconds = limit.as_millis().try_into().unwrap_or(u32::MAX);
        // SAFETY: The handle is open.
        check("xengnttab_dmabuf_exp_wait_released", unsafe {
            sys::xengnttab_dmabuf_exp_wait_released(self.table.handle(), self.number, milliseconds)
        })
    }
}

/// A dma-buf whose pages are granted to another domain; dropping it ends the grants.
///
/// The other domain should have unmapped the pages before. Pages that it has not unmapped are kept
/// from being used again until it has. Of several imports of one buffer by one table, each release
/// ends the newest that is left.
#[derive(Debug)]
pub struct Import<'a> {
    table: &'a GrantTable,
    buffer: &'a DmaBuf,
    references: Vec<u32>,
    offset: u32,
}

impl Import<'_> {
    /// Grant reference of each page.
    pub fn references(&self) -> &[u32] {
        &self.references
    }

    /// Byte of the first page at which the data begin; 0 after [`GrantTable::import`].
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Ends the grants, which dropping does too, and returns the result.
    ///
    /// # Errors
    ///
    /// Those of the driver.
    pub fn release(self) -> Result<()> {
        let result = self.end();
        let mut this = mem::ManuallyDrop::new(self);
        drop(mem::take(&mut this.references));
        result
    }

    fn end(&self) -> Result<()> {
        // SAFETY: The handle is open.
        check("xengnttab_dmabuf_imp_release", unsafe {
            sys::xengnttab_dmabuf_imp_release(self.table.handle(), self.buffer.number())
        })
    }
}

impl Drop for Import<'_> {
    fn drop(&mut self) {
        // The error cannot be returned here; `release` returns it.
        let _ = self.end();
    }
}

/// Request with a data offset. Its argument is a header of five words, the second of which is the
/// number of references behind it.
struct OffsetRequest<'a> {
    number: u8,
    words: &'a mut [u32],
}

impl OffsetRequest<'_> {
    const EXP_FROM_REFS_V2: u8 = 13;
    const IMP_TO_REFS_V2: u8 = 14;
    const HEADER: usize = 5;
}

// SAFETY: The driver reads and writes the header and the references, and the slice holds both, as
// the maker of the request sees to.
unsafe impl Ioctl for OffsetRequest<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        // The size of the structure with one reference, for any number of them.
        let size = (Self::HEADER + 1) * size_of::<u32>();
        ioctl::opcode::from_components(Direction::None, b'G', self.number, size)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_have_the_driver_s_numbers() {
        let opcode = |number| {
            let words = &mut [0; 6];
            OffsetRequest { number, words }.opcode()
        };
        assert_eq!(opcode(OffsetRequest::EXP_FROM_REFS_V2), 0x0018_470d);
        assert_eq!(opcode(OffsetRequest::IMP_TO_REFS_V2), 0x0018_470e);
    }
}
