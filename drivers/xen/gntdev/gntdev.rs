// SPDX-License-Identifier: GPL-2.0

//! `/dev/xen/gntdev`: programs map pages that other domains granted, make dma-bufs of them, and
//! grant the pages of dma-bufs.
//!
//! UAPI: [`include/uapi/xen/gntdev.h`](srctree/include/uapi/xen/gntdev.h),
//! [`include/uapi/xen/gntdev_dmabuf_v2.h`](srctree/include/uapi/xen/gntdev_dmabuf_v2.h).
//!
//! ```text
//!   program                                    this module
//!
//!   open()                                     OpenFile
//!   ioctl(MAP_GRANT_REF)  ---- grants --->       RegionIndex: a Region in the file's offsets
//!   mmap(offset)          ---- offset --->          Region: a RegionMapping, once
//!                                                      |
//!                             auto-translated <--------+--------> paravirtual
//!                         pages of the kernel's               page-table entries that
//!                         own, inserted in the VMA            the hypervisor writes
//!
//!   ioctl(DMABUF_EXP_FROM_REFS) -- refs -->  Exports: a Record, for who waits
//!   dma-buf            <------ descriptor ----     Buffer: grants at kernel addresses
//!   ioctl(DMABUF_IMP_TO_REFS)  -- dma-buf ->  Imports: an Import
//!   refs for another domain    <--- refs -----     GrantedBuffer: a MappedBuffer
//! ```
//!
//! # Ownership
//!
//! The open file owns its regions, and so does each VMA that one is mapped at. The region owns its
//! mapping; when the last owner is gone the mapping is dropped, the grants are unmapped and the
//! frames given back. So a mapping outlives the file and the removal of its region from the file.
//!
//! A dma-buf owns its `Buffer`, which owns the mapping. The file only has a `Record` of it, by
//! which programs wait; the mapping has a `ReleaseNotice`, whose drop tells the file, or what is
//! left of it. An imported buffer belongs to the file, and after that to the worker as long as the
//! other domain has pages of it mapped.
//!
//! # Locks
//!
//! Taken in this order:
//!
//! 1. the mmap lock of the process (held by the kernel in `mmap()` and when a VMA is closed);
//! 2. the reservation lock of a dma-buf (held by its framework in some operations), or
//!    `DmaBuf::attachments`, the devices that it is attached to; and inside of either
//!    `DmaBuf::users`, how often a device has the buffer mapped, or `DmaBuf::view`, where the
//!    kernel has it;
//! 3. `RegionIndex::lock`: what regions a file has;
//! 4. `UnmapNotify::actions`: what is done when a region is unmapped, and
//!    `UserMapping::entries` (paravirtual): which page-table entries hold grants.
//!    Taken inside of MMU notifiers, so nothing that can wait for memory happens while it is held;
//! 5. `MappedGrants::unmap`: which frames hold grants; the same holds for it;
//! 6. `deferred::PENDING`: what waits for the last user of its pages.
//!
//! Taken with none of the others held, and none is taken inside of them: `Exports::state` and
//! `Imports::index`, what dma-bufs a file has; `ReleaseEvent::happened`, whether one was released;
//! `dma_device::DEVICES`.
//!
//! No lock is held while data goes to or comes from the user.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
#[path = "../rust/mod.rs"]
mod xen;

mod auto_translated;
mod copy_plan;
mod descriptor_index;
mod dma_buf_export;
mod dma_buf_exporter;
mod dma_buf_import;
mod dma_buf_layout;
mod dma_buf_wait;
mod grant_copy;
mod limits;
mod open_file;
mod parameters;
mod paravirtual;
mod region;
mod region_index;
mod region_ioctl;
mod region_mapping;
mod release_event;
mod unmap_notify;

use crate::{
    open_file::OpenFile,
    xen::{
        dma_buf::dma_device,
        grant::{
            deferred,
            domain, //
        },
        kernel::misc_device, //
    },
};
use kernel::prelude::*;

module! {
    type: GntdevModule,
    name: "xen_gntdev_rust",
    authors: ["The Rust gntdev maintainers"],
    description: "User-space granted page access driver",
    license: "GPL",
    imports_ns: ["DMA_BUF"],
}

/// What lives as long as the module is loaded.
#[pin_data]
struct GntdevModule {
    /// The first field, so that no file can be opened while the rest goes.
    #[pin]
    _device: misc_device::Registration,
    _worker: deferred::Worker,
    /// The last field, because the worker gives back memory that was allocated for one of them.
    _devices: dma_device::Slot,
}

impl kernel::InPlaceModule for GntdevModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _devices: {
                if !domain::is_xen_domain() {
                    return Err(ENODEV);
                }
                dma_device::Slot::new()?
            },
            _worker: deferred::Worker::new()?,
            _device <- misc_device::Registration::new::<OpenFile>(c"xen/gntdev", module),
        })
    }
}
