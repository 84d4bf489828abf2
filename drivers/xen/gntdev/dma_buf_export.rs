// SPDX-License-Identifier: GPL-2.0

//! The ioctls that export grants as a dma-buf.
//!
//! The buffer owns the mapping of the grants. It outlives the file that it was exported by, and its
//! file descriptor.

#![forbid(unsafe_code)]

use crate::{
    descriptor_index::Room,
    dma_buf_exporter::{
        grant_references,
        Export, //
    },
    dma_buf_layout::{
        Backing,
        DataStart, //
    },
    dma_buf_wait::{
        Description,
        Exports,
        Record,
        ReleaseNotice, //
    },
    limits,
    parameters::LIMIT,
    xen::{
        dma_buf::{
            dma_device::DmaDevices,
            export::{
                Buffer,
                DmaBuf, //
            },
        },
        gntdev::{
            trace,
            uapi::{
                ioctl_gntdev_dmabuf_exp_from_refs,
                ioctl_gntdev_dmabuf_exp_from_refs_v2, //
            },
        },
        grant::{
            dma_memory::{
                Caching,
                DmaMemory, //
            },
            frames::Frames,
            mapping::GrantMapping,
            operation::Access,
            unpopulated_pages::UnpopulatedPages, //
        },
        kernel::user_memory,
    },
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
    sync::Arc,
    uaccess::UserPtr, //
};

/// Arguments of a program, in either form of the ioctl.
struct Request {
    flags: u32,
    count: u32,
    domain: u32,
    data_offset: u32,
    /// Address of the references in the program.
    references: UserPtr,
    /// Address that the file descriptor is written to.
    descriptor: UserPtr,
}

/// `IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS`: exports grants of one domain, mapped for reading and
/// writing, as a dma-buf.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read or written; `EINVAL` for a count of 0 or above the limit,
/// flags that are unknown or exclude each other, a domain whose number is out of range, or if Xen
/// refuses one of the grants; `ENOSPC` if Xen has no room for more mappings; `EOPNOTSUPP` for
/// grants of this domain where it is auto-translated on x86; `EMFILE`, `ENFILE`, `ENOMEM`. There is
/// then no file descriptor, and no grant stays mapped.
pub(crate) fn export_from_refs(exports: &Arc<Exports>, argument: UserPtr) -> Result {
    type Argument = ioctl_gntdev_dmabuf_exp_from_refs;
    let request: Argument = user_memory::read(argument)?;
    traced(
        exports,
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

/// `IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2`: exports a dma-buf whose data begin at an offset. The
/// buffer begins with the page that contains the offset; grants of pages before it are not mapped.
///
/// # Errors
///
/// Those of [`export_from_refs`]; `EINVAL` for an offset beyond the pages.
pub(crate) fn export_from_refs_v2(exports: &Arc<Exports>, argument: UserPtr) -> Result {
    type Argument = ioctl_gntdev_dmabuf_exp_from_refs_v2;
    let request: Argument = user_memory::read(argument)?;
    traced(
        exports,
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

fn traced(exports: &Arc<Exports>, request: Request) -> Result {
    let result = export(exports, &request);
    trace::dmabuf_export(
        request.domain,
        request.count,
        request.flags,
        request.data_offset,
        &result,
    );
    result
}

fn export(exports: &Arc<Exports>, request: &Request) -> Result {
    let count = limits::check_count(request.count, LIMIT.get())?;
    let backing = Backing::from_flags(request.flags)?;
    let data = DataStart::new(request.data_offset, count)?;
    let domain = u16::try_from(request.domain).map_err(|_| EINVAL)?;
    // Importers take the size of a buffer as the size of its data, so that pages before the data
    // are not part of it.
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
    let notice = ReleaseNotice::new(exports.clone(), record.clone());
    let mapping = GrantMapping::at(
        new_frames(references.len(), backing)?,
        grant_references(domain, &references),
        Access::ReadWrite,
        notice,
    )?;
    let name = CString::try_from_fmt(fmt!("xen_gntdev_rust:dom{domain}"))?;
    let export = Export::new(domain, references, record.clone());
    let buffer = Buffer::new(mapping, data.offset, name, export)?;

    let room = Room::new()?;
    let descriptor = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let buffer = DmaBuf::new(buffer)?;
    user_memory::write(request.descriptor, &descriptor.reserved_fd())?;
    // The rest cannot fail. The buffer is in the index before the program can close the descriptor.
    exports.insert(room, descriptor.reserved_fd(), &record);
    buffer.install(descriptor);
    Ok(())
}

/// Allocates frames for a buffer of `count` pages. May sleep.
///
/// Unpopulated pages are available for any size of a buffer, whereas frames for DMA must be
/// contiguous. The latter are therefore used only for devices to which they make a difference: see
/// [`dma_memory`](crate::xen::grant::dma_memory).
fn new_frames(count: usize, backing: Backing) -> Result<Frames> {
    let caching = match backing {
        Backing::Ordinary => None,
        Backing::WriteCombine => Some(Caching::WriteCombine),
        Backing::Coherent => Some(Caching::Coherent),
    };
    if let Some(caching) = caching {
        let device = DmaDevices::memory()?;
        if !device.is_dma_coherent() {
            return Ok(DmaMemory::new(count, caching, device)?.into());
        }
    }
    Ok(UnpopulatedPages::new(count)?.sorted().into())
}
