// SPDX-License-Identifier: GPL-2.0

//! `/dev/xen/gntdev`: maps pages that other domains granted, exports them as dma-bufs, and grants
//! the pages of dma-bufs.
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
//! mapping. When the last owner of the region is gone the mapping is dropped, the grants are
//! unmapped and the frames freed. So a mapping outlives the file and the removal of its region from
//! the file.
//!
//! A dma-buf owns its `Buffer`, which owns the mapping. The file only has a `Record` of the
//! dma-buf, which programs wait for; the mapping has a `ReleaseNotice`, whose drop signals the
//! release to the record. An imported buffer belongs to the file, and after that to the worker as
//! long as the other domain has pages of it mapped.
//!
//! # Locks
//!
//! The order of taking them:
//!
//! 1. the mmap lock of the process (held by the kernel in `mmap()`, when a VMA is closed, and while
//!    a page fault is handled);
//! 2. the reservation lock of a dma-buf (held by its framework in some operations), and inside of
//!    it, or without it, `DmaBuf::mappings`, the mappings of the buffer for devices;
//! 3. `RegionIndex::lock`: the regions of a file, and inside of it the spinlock of its maple tree;
//! 4. `UnmapNotify::actions`, the actions when a region is unmapped, and `UserMapping::entries`
//!    (paravirtual), the page-table entries with grants. Taken inside of MMU notifiers, so that
//!    nothing that can wait for memory may be done while it is held;
//! 5. `MappedGrants::mapped`: the frames with grants; with the same restriction;
//! 6. `deferred::PENDING`: the entries that wait for the last user of their pages, or to be
//!    dropped.
//!
//! `Region::memory`, the frames of a region that is not mapped, is taken inside of the mmap lock,
//! and nothing is taken inside of it. Frames are allocated and given back with no lock of this list
//! held: that takes locks of memory hotplug and of the balloon.
//!
//! The other locks are taken with none of these held, and none of these is taken inside of them:
//! `Exports::state` and `Imports::index`, the dma-bufs of a file; `ReleaseEvent::happened`, set
//! once a buffer has been released; `BatchPool::unused`, the unused arrays for copies;
//! `dma_device::DEVICES`.
//!
//! No lock is held while data is copied from or to user space.

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
mod totals_file;
mod unmap_notify;

use crate::{
    open_file::OpenFile,
    xen::{
        dma_buf::dma_device,
        grant::{
            deferred,
            domain, //
        },
        kernel::{
            debugfs,
            misc_device, //
        },
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

/// State of the loaded module.
#[pin_data]
struct GntdevModule {
    /// The first field, so that no file can be opened while the others are dropped.
    #[pin]
    _device: misc_device::Registration,
    _totals: debugfs::File,
    _worker: deferred::Worker,
    /// The last field, because the worker frees memory that was allocated for one of the devices.
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
            _totals: totals_file::create(),
            _device <- misc_device::Registration::new::<OpenFile>(c"xen/gntdev", module),
        })
    }
}
