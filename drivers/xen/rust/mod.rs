// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over Xen and over what the [`kernel`] crate does not yet wrap.
//!
//! Every `unsafe` block of the drivers that use this module is in here. One file stands for one
//! concept, and is written so that it could move into the `kernel` crate as it is:
//!
//! ```text
//!   domain            what kind of Xen domain this kernel runs in
//!   evtchn            references to event channels
//!   grant_operation   the operations of the grant table hypercall, as plain values
//!   unmap_operations  what undoes the mappings of some grants, as plain values
//!   copy_operation    what is to be copied from and to granted pages, as plain values
//!   grant_copy        copies by the hypervisor from and to granted pages
//!   grant_mapping     grants mapped at kernel addresses, and the frames under them
//!   grant_access      pages of this domain, in a dma-buf, that another one may map
//!   user_mapping      grants mapped at a process' page-table entries (paravirtual)
//!   deferred          what has ended but cannot be undone yet, as pages are in use
//!   pages             frames that have no memory of their own
//!   dma_memory        frames for DMA whose memory was given to the hypervisor
//!   frames            frames that grants are mapped at, of whatever kind
//!   dma_device        the devices that stand for gntdev towards the DMA API
//!   faux_device       a device that stands for no hardware
//!   device_mapping    frames that a device can reach
//!   direction         the direction of a transfer between memory and a device
//!   kernel_view       frames at adjacent addresses of the kernel
//!   dma_buf           a dma-buf over frames that grants are mapped at
//!   dma_buf_import    a dma-buf of somebody else
//!   buffer_segment    pieces of its memory, as plain values
//!   vma               operations and private data of a VMA
//!   mmu_notifier      interval notifiers on a process' address space
//!   maple_tree        a maple tree that threads can share
//!   misc_device       a misc device that holds its module
//!   module            the module that the code is in
//!   module_param      a module parameter that can be written through sysfs
//!   user_memory       arrays and structures of the UAPI, to and from the user
//!   user_pages        pages of the calling process, pinned
//!   errno             error numbers that the kernel crate has no name for
//!   task              the calling task
//!   trace             the tracepoints
//! ```
//!
//! These are for the event channels, which are built into the kernel, and no part of this module:
//!
//! ```text
//!   evtchn_ops        an implementation of the port operations
//!   hypervisor        what it asks of the hypervisor, as an interface
//!   event_channel_op  the same, by the event channel hypercall
//!   shared_page       pages of words that the hypervisor reads and writes as well
//!   per_cpu           variables of which each CPU has its own
//!   boot_param        a parameter of the kernel's command line
//! ```

pub(crate) mod bindings;
pub(crate) mod buffer_segment;
pub(crate) mod copy_operation;
pub(crate) mod deferred;
pub(crate) mod device_mapping;
mod direction;
pub(crate) mod dma_buf;
pub(crate) mod dma_buf_import;
pub(crate) mod dma_device;
pub(crate) mod dma_memory;
pub(crate) mod domain;
pub(crate) mod errno;
pub(crate) mod evtchn;
mod faux_device;
pub(crate) mod frames;
pub(crate) mod grant_access;
pub(crate) mod grant_copy;
pub(crate) mod grant_mapping;
pub(crate) mod grant_operation;
pub(crate) mod kernel_view;
pub(crate) mod maple_tree;
pub(crate) mod misc_device;
pub(crate) mod mmu_notifier;
mod module;
pub(crate) mod module_param;
pub(crate) mod pages;
pub(crate) mod task;
pub(crate) mod trace;
pub(crate) mod unmap_operations;
pub(crate) mod user_mapping;
pub(crate) mod user_memory;
pub(crate) mod user_pages;
pub(crate) mod vma;
