// SPDX-License-Identifier: GPL-2.0

//! dma-bufs over frames that grants are mapped at, and dma-bufs whose pages are granted.
//!
//! The reader is someone who changes how buffers go from one domain to another without a copy.
//! Files of this room use the rooms `kernel` and `grant`. They know nothing of the ioctls of
//! gntdev.
//!
//! ```text
//!   export           dma-buf over granted frames: devices, CPU access, mmap(), vmap()
//!   device_mapping     frames that a device can reach
//!   kernel_view        frames at contiguous addresses of the kernel
//!   granted_buffer   pages of an imported dma-buf, granted to another domain
//!   import             dma-buf of another exporter, attached and mapped
//!   segment            pieces of its memory, as plain values
//!   dma_device       devices that stand for gntdev towards the DMA API
//! ```

pub(crate) mod dma_device;
pub(crate) mod export;
pub(crate) mod granted_buffer;
pub(crate) mod import;
pub(crate) mod segment;

mod device_mapping;
mod kernel_view;
