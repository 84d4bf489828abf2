// SPDX-License-Identifier: GPL-2.0

//! The ioctls that grant the pages of a dma-buf to another domain, and revoke the grants.

#![forbid(unsafe_code)]

use crate::{
    descriptor_index::{
        DescriptorIndex,
        Room, //
    },
    dma_buf_layout, limits,
    parameters::LIMIT,
    xen::{
        dma_buf::{
            dma_device::DmaDevices,
            granted_buffer::GrantedBuffer,
            import::{
                BufferReference,
                MappedBuffer, //
            },
        },
        gntdev::{
            trace,
            uapi::{
                ioctl_gntdev_dmabuf_imp_release,
                ioctl_gntdev_dmabuf_imp_to_refs,
                ioctl_gntdev_dmabuf_imp_to_refs_v2, //
            },
        },
        kernel::user_memory,
    },
};
use core::mem::offset_of;
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Mutex,
    uaccess::UserPtr, //
};

/// dma-buf whose pages are granted to a domain. Dropping it revokes the grants and releases the
/// buffer, as soon as the other domain has none of its pages mapped; may sleep.
struct Import {
    domain: u16,
    page_count: usize,
    data_offset: usize,
    /// `None` after the grants were revoked.
    granted: Option<GrantedBuffer>,
}

impl Import {
    /// Grants the pages of the dma-buf with the file descriptor `fd`. May sleep.
    fn new(fd: u32, count: u32, domain: u32) -> Result<Self> {
        let page_count = limits::check_count(count, LIMIT.get())?;
        let domain = u16::try_from(domain).map_err(|_| EINVAL)?;
        let buffer = BufferReference::get(fd)?;
        if page_count.checked_mul(PAGE_SIZE) != Some(buffer.size()) {
            return Err(EINVAL);
        }
        let buffer = MappedBuffer::new(buffer, DmaDevices::peer()?)?;
        let data_offset = dma_buf_layout::data_offset(buffer.segments(), page_count)?;
        let mut granted = GrantedBuffer::new(buffer, page_count)?;
        let result = granted.grant(domain);
        // If granting failed, the other domain may still have pages mapped: `drop()` handles that.
        let import = Self {
            domain,
            page_count,
            data_offset,
            granted: Some(granted),
        };
        result.map(|()| import)
    }

    fn references(&self) -> &[u32] {
        self.granted.as_ref().map_or(&[], GrantedBuffer::references)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if let Some(granted) = self.granted.take() {
            trace::dmabuf_import_release(self.domain, self.page_count, granted.end());
        }
    }
}

/// Imported buffers of a file.
#[pin_data]
pub(crate) struct Imports {
    #[pin]
    index: Mutex<DescriptorIndex<Import>>,
}

impl Imports {
    /// Makes an empty set of buffers.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            index <- new_mutex!(DescriptorIndex::new(), "Imports::index"),
        })
    }

    /// Prints the buffers for fdinfo. May sleep.
    pub(crate) fn show(&self, seq: &SeqFile) {
        for (descriptor, import) in self.index.lock().iter() {
            let Import {
                domain,
                page_count,
                data_offset,
                ..
            } = import;
            seq_print!(
                seq,
                "import:\tfd {descriptor} domain {domain} count {page_count}"
            );
            if *data_offset != 0 {
                seq_print!(seq, " data-offset {data_offset:#x}");
            }
            seq_print!(seq, "\n");
        }
    }
}

/// `IOCTL_GNTDEV_DMABUF_IMP_TO_REFS`: grants the pages of a dma-buf to a domain.
///
/// The same buffer can be granted several times, each time by other references.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read or written; `EBADF` if the file descriptor is not open;
/// `EINVAL` for a count of 0, above the limit or not that of the buffer, for a domain whose number
/// is out of range, if the descriptor is not that of a dma-buf, or if its data do not begin and
/// continue at the start of a page; `EOPNOTSUPP` for memory without a `struct page`; `ENOSPC` if
/// there are not enough grant references; `ENOMEM`; those of the exporter of the buffer. No page is
/// then granted.
pub(crate) fn import_to_refs(imports: &Imports, argument: UserPtr) -> Result {
    type Argument = ioctl_gntdev_dmabuf_imp_to_refs;
    let request: Argument = user_memory::read(argument)?;
    traced(request.domid, request.count, || {
        let import = Import::new(request.fd, request.count, request.domid)?;
        if import.data_offset != 0 {
            return Err(EINVAL);
        }
        let room = Room::new()?;
        let references = argument.wrapping_byte_add(offset_of!(Argument, refs));
        user_memory::write_array(references, import.references())?;
        imports.index.lock().insert(room, request.fd, import);
        Ok(0)
    })
}

/// `IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2`: grants the pages of a dma-buf to a domain, and returns the
/// offset of the data in the first page.
///
/// # Errors
///
/// Those of [`import_to_refs`], but the data may begin at any offset.
pub(crate) fn import_to_refs_v2(imports: &Imports, argument: UserPtr) -> Result {
    type Argument = ioctl_gntdev_dmabuf_imp_to_refs_v2;
    let request: Argument = user_memory::read(argument)?;
    traced(request.domid, request.count, || {
        let import = Import::new(request.fd, request.count, request.domid)?;
        let room = Room::new()?;
        let data_offset = import.data_offset;
        let answer = argument.wrapping_byte_add(offset_of!(Argument, data_ofs));
        // The offset is less than the size of a page.
        user_memory::write(answer, &(data_offset as u32))?;
        let references = argument.wrapping_byte_add(offset_of!(Argument, refs));
        user_memory::write_array(references, import.references())?;
        imports.index.lock().insert(room, request.fd, import);
        Ok(data_offset)
    })
}

fn traced(domain: u32, count: u32, import: impl FnOnce() -> Result<usize>) -> Result {
    let result = import();
    trace::dmabuf_import(domain, count, &result);
    result.map(drop)
}

/// `IOCTL_GNTDEV_DMABUF_IMP_RELEASE`: revokes the grants of the buffer that was imported by this
/// file descriptor, which may have been closed since, and releases the buffer. If several buffers
/// were imported by the number, it is the newest. While the other domain has pages mapped, these
/// pages and the buffer stay.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read; `ENOENT` if there is no such buffer.
pub(crate) fn import_release(imports: &Imports, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_dmabuf_imp_release = user_memory::read(argument)?;
    let import = imports.index.lock().take_newest(request.fd);
    import.map(drop).ok_or(ENOENT)
}
