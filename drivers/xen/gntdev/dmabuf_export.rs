// SPDX-License-Identifier: GPL-2.0

//! The ioctls that make a dma-buf of grants.
//!
//! The buffer owns the mapping of the grants. Neither the file that it was exported by nor the file
//! descriptor has to stay for it.

#![forbid(unsafe_code)]

use crate::{
    descriptor_index::Room,
    dmabuf_layout::{
        Backing,
        DataStart, //
    },
    dmabuf_mmap,
    dmabuf_wait::{
        Description,
        Record,
        ReleaseNotice, //
    },
    limits,
    open_file::OpenFile,
    xen::{
        bindings::{
            ioctl_gntdev_dmabuf_exp_from_refs,
            ioctl_gntdev_dmabuf_exp_from_refs_v2, //
        },
        dma_buf::{
            Buffer,
            DmaBuf,
            Exporter,
            NewMapping,
            Operations, //
        },
        dma_device::DmaDevices,
        dma_memory::{
            Caching,
            DmaMemory, //
        },
        frames::Frames,
        grant_mapping::GrantMapping,
        grant_operation::{
            Access,
            GrantReference, //
        },
        pages::UnpopulatedPages,
        trace,
        user_memory, //
    },
    LIMIT,
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    fs::file::{
        flags::O_CLOEXEC,
        FileDescriptorReservation, //
    },
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    uaccess::UserPtr, //
};

/// Whose grants a dma-buf consists of.
pub(crate) struct Export {
    domain: u16,
    references: KVVec<u32>,
    record: Arc<Record>,
    /// How many pages of processes have one of the grants mapped at their page-table entries.
    process_pages: Atomic<usize>,
}

/// Pages of processes that have a grant of a buffer mapped at their page-table entries.
pub(crate) struct ProcessPages {
    buffer: Arc<Buffer<Export>>,
    count: usize,
}

impl ProcessPages {
    /// Counts `count` more for `buffer`. Each takes an entry in the table of mappings that the
    /// hypervisor has for this domain. Who has a dma-buf need not be one who may open the device,
    /// and must not be able to use up that table by mapping it again and again.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if that were more than one buffer can have grants, and more than this one has.
    pub(crate) fn claim(buffer: Arc<Buffer<Export>>, count: usize) -> Result<Self> {
        let export = buffer.exporter();
        let limit = export.references.len().max(LIMIT.get() as usize);
        let before = export.process_pages.fetch_add(count, Relaxed);
        // Whatever comes of it, dropping this takes it back.
        let pages = Self { buffer, count };
        if before.saturating_add(count) > limit {
            return Err(ENOMEM);
        }
        Ok(pages)
    }

    /// The buffer.
    pub(crate) fn buffer(&self) -> &Buffer<Export> {
        &self.buffer
    }
}

impl Drop for ProcessPages {
    fn drop(&mut self) {
        let export = self.buffer.exporter();
        export.process_pages.fetch_sub(self.count, Relaxed);
    }
}

impl Export {
    /// The `count` grants from the page `first` of the buffer on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are not so many.
    pub(crate) fn grants(
        &self,
        first: usize,
        count: usize,
    ) -> Result<impl ExactSizeIterator<Item = Result<GrantReference>> + '_> {
        let references = first
            .checked_add(count)
            .and_then(|end| self.references.get(first..end))
            .ok_or(EINVAL)?;
        Ok(grant_references(self.domain, references))
    }
}

impl Exporter for Export {
    fn operations() -> &'static Operations<Self> {
        static OPERATIONS: Operations<Export> = Operations::new();
        &OPERATIONS
    }

    fn map_at(buffer: &Arc<Buffer<Self>>, mapping: NewMapping<'_>) -> Result {
        dmabuf_mmap::map(buffer, mapping)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if self.record.is_in_index() {
            trace::dmabuf_release(self.domain, self.references.len());
        }
    }
}

/// What a program asks for, in either form of the ioctl.
struct Request {
    flags: u32,
    count: u32,
    domain: u32,
    data_offset: u32,
    /// Where the program has the references.
    references: UserPtr,
    /// Where the program wants the file descriptor.
    descriptor: UserPtr,
}

/// `IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS`: makes a dma-buf of grants of one domain, mapped for reading
/// and writing.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read or written; `EINVAL` for a count of 0 or above the limit,
/// flags that are unknown or exclude each other, a domain that cannot exist, or if Xen refuses one
/// of the grants; `EMFILE`, `ENFILE`, `ENOMEM`. There is no file descriptor then, and no grant
/// stays mapped.
pub(crate) fn export_from_refs(file: &OpenFile, argument: UserPtr) -> Result {
    type Argument = ioctl_gntdev_dmabuf_exp_from_refs;
    let request: Argument = user_memory::read(argument)?;
    traced(
        file,
        Request {
            flags: request.flags,
            count: request.count,
            domain: request.domid,
            data_offset: 0,
            references: argument.wrapping_byte_add(offset_of!(Argument, refs)),
            descriptor: argument.wrapping_byte_add(offset_of!(Argument, fd)),
        },
    )
}

/// `IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2`: makes a dma-buf whose data begin at an offset. Pages
/// before the one that it is in are no part of the buffer, and their grants are not mapped.
///
/// # Errors
///
/// Those of [`export_from_refs`]; `EINVAL` for an offset that is not in the pages.
pub(crate) fn export_from_refs_v2(file: &OpenFile, argument: UserPtr) -> Result {
    type Argument = ioctl_gntdev_dmabuf_exp_from_refs_v2;
    let request: Argument = user_memory::read(argument)?;
    traced(
        file,
        Request {
            flags: request.flags,
            count: request.count,
            domain: request.domid,
            data_offset: request.data_ofs,
            references: argument.wrapping_byte_add(offset_of!(Argument, refs)),
            descriptor: argument.wrapping_byte_add(offset_of!(Argument, fd)),
        },
    )
}

fn traced(file: &OpenFile, request: Request) -> Result {
    let result = export(file, &request);
    trace::dmabuf_export(
        request.domain,
        request.count,
        request.flags,
        request.data_offset,
        &result,
    );
    result
}

fn export(file: &OpenFile, request: &Request) -> Result {
    let count = limits::check_count(request.count, LIMIT.get())?;
    let backing = Backing::from_flags(request.flags)?;
    let data = DataStart::new(request.data_offset, count)?;
    let domain = u16::try_from(request.domain).map_err(|_| EINVAL)?;
    // Importers rely on the size of a buffer being that of what they get, so that pages which
    // devices do not see are no part of it.
    let first = request
        .references
        .wrapping_byte_add(data.page * size_of::<u32>());
    let references: KVVec<u32> = user_memory::read_array(first, count - data.page)?;

    let record = Record::new(Description {
        domain,
        page_count: count,
        backing,
        data_offset: request.data_offset,
    })?;
    let notice = ReleaseNotice::boxed(file.exports().clone(), record.clone())?;
    let mapping = GrantMapping::at(
        new_frames(references.len(), backing)?,
        grant_references(domain, &references),
        Access::ReadWrite,
        Some(notice),
    )?;
    let name = CString::try_from_fmt(fmt!("xen_gntdev_rust:dom{domain}"))?;
    let export = Export {
        domain,
        references,
        record: record.clone(),
        process_pages: Atomic::new(0),
    };
    let buffer = Buffer::new(mapping, data.offset, name, export)?;

    let room = Room::new()?;
    let descriptor = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let buffer = DmaBuf::new(buffer)?;
    user_memory::write(request.descriptor, &descriptor.reserved_fd())?;
    // Nothing can fail from here on. The buffer is in the index before the program can close the
    // descriptor.
    file.exports()
        .insert(room, descriptor.reserved_fd(), &record);
    descriptor.fd_install(buffer.into_file());
    Ok(())
}

/// Frames for a buffer of `count` pages. May sleep.
fn new_frames(count: usize, backing: Backing) -> Result<Frames> {
    let caching = match backing {
        Backing::Ordinary => return Ok(UnpopulatedPages::new(count)?.sorted().into()),
        Backing::WriteCombine => Caching::WriteCombine,
        Backing::Coherent => Caching::Coherent,
    };
    Ok(DmaMemory::new(count, caching, DmaDevices::get()?)?.into())
}

fn grant_references(
    domain: u16,
    references: &[u32],
) -> impl ExactSizeIterator<Item = Result<GrantReference>> + '_ {
    references
        .iter()
        .map(move |&reference| Ok(GrantReference { domain, reference }))
}
