// SPDX-License-Identifier: GPL-2.0

//! dma-bufs of other exporters, attached so that their memory stays in place.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h).

use super::segment::BufferSegment;
use crate::xen::{
    bindings,
    kernel::{
        dma_direction::Direction,
        faux_device::FauxDevice, //
    },
};
use core::{
    iter,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// Reference to a dma-buf.
///
/// # Invariants
///
/// The pointer is that of a dma-buf, to which this value owns a reference.
pub(crate) struct BufferReference(NonNull<bindings::dma_buf>);

// SAFETY: A reference is not bound to a thread.
unsafe impl Send for BufferReference {}
// SAFETY: The methods that take `&self` read fields that do not change.
unsafe impl Sync for BufferReference {}

impl BufferReference {
    /// Takes a reference to the dma-buf of the file descriptor `fd` of the calling process (C:
    /// `dma_buf_get()`).
    ///
    /// # Errors
    ///
    /// `EBADF` if the descriptor is not open; `EINVAL` if it is not that of a dma-buf.
    pub(crate) fn get(fd: u32) -> Result<Self> {
        // SAFETY: The function takes any number.
        let buffer = from_err_ptr(unsafe { bindings::dma_buf_get(fd as c_int) })?;
        // INVARIANT: The function just took the reference.
        Ok(Self(NonNull::new(buffer).ok_or(EBADF)?))
    }

    /// Returns the size of the buffer, in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: By the type invariants, the buffer is valid; its size does not change.
        unsafe { (*self.0.as_ptr()).size }
    }
}

impl Drop for BufferReference {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, `self` owns the reference.
        unsafe { bindings::dma_buf_put(self.0.as_ptr()) };
    }
}

/// dma-buf that is attached to a device and mapped for it. Dropping it unmaps and detaches it; may
/// sleep.
///
/// # Invariants
///
/// `list` is the scatter list that the exporter returned for `attachment`.
pub(crate) struct MappedBuffer {
    list: NonNull<bindings::sg_table>,
    attachment: PeerAttachment,
}

// SAFETY: A mapping is not bound to a thread.
unsafe impl Send for MappedBuffer {}
// SAFETY: The methods that take `&self` read fields that do not change.
unsafe impl Sync for MappedBuffer {}

impl MappedBuffer {
    /// Attaches `buffer` to `peer`, the device that represents other domains, and maps it for
    /// reading and writing. May sleep.
    ///
    /// # Errors
    ///
    /// Those of the exporter; `ENOMEM`.
    pub(crate) fn new(buffer: BufferReference, peer: Arc<FauxDevice>) -> Result<Self> {
        let attachment = PeerAttachment::new(buffer, peer)?;
        // SAFETY: This function owns the attachment, and the reservation lock is not held.
        let list = from_err_ptr(unsafe {
            bindings::dma_buf_map_attachment_unlocked(
                attachment.raw.as_ptr(),
                Direction::Bidirectional.into_raw(),
            )
        })?;
        // INVARIANT: The exporter just returned the list.
        Ok(Self {
            list: NonNull::new(list).ok_or(ENOMEM)?,
            attachment,
        })
    }

    /// Returns the segments of the memory of the buffer, in order.
    ///
    /// They are taken from the DMA addresses, which are physical addresses for this device. The
    /// pages of the list are internal to the exporter.
    pub(crate) fn segments(&self) -> impl Iterator<Item = BufferSegment> + '_ {
        // SAFETY: By the type invariants, the list is valid.
        let (first, count) = unsafe { (self.list.as_ref().sgl, self.list.as_ref().nents) };
        let mut entry = first;
        iter::repeat_with(move || {
            let (mut address, mut length) = (0, 0);
            // SAFETY: No more entries are read than are mapped, and both numbers can be written.
            entry = unsafe { bindings::xen_rust_sg_read_dma(entry, &mut address, &mut length) };
            BufferSegment {
                address,
                length: length as usize,
            }
        })
        .take(count as usize)
    }
}

impl Drop for MappedBuffer {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the exporter returned the list for this attachment. The
        // reservation lock is not held.
        unsafe {
            bindings::dma_buf_unmap_attachment_unlocked(
                self.attachment.raw.as_ptr(),
                self.list.as_ptr(),
                Direction::Bidirectional.into_raw(),
            )
        };
    }
}

/// Buffer that is attached to the peer device.
///
/// # Invariants
///
/// `raw` is an attachment of `buffer` to `_peer`.
struct PeerAttachment {
    raw: NonNull<bindings::dma_buf_attachment>,
    buffer: BufferReference,
    _peer: Arc<FauxDevice>,
}

impl PeerAttachment {
    fn new(buffer: BufferReference, peer: Arc<FauxDevice>) -> Result<Self> {
        // SAFETY: Both are valid, and stay so as long as the attachment.
        let raw = unsafe { bindings::dma_buf_attach(buffer.0.as_ptr(), peer.as_raw()) };
        let raw = from_err_ptr(raw)?;
        // INVARIANT: The attachment was just made for these.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            buffer,
            _peer: peer,
        })
    }
}

impl Drop for PeerAttachment {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, `raw` is an attachment of the buffer.
        unsafe { bindings::dma_buf_detach(self.buffer.0.as_ptr(), self.raw.as_ptr()) };
    }
}
