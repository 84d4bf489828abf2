// SPDX-License-Identifier: GPL-2.0

//! Structures, constants and numbers of the ioctls of gntdev.
//!
//! C headers: [`include/uapi/xen/gntdev.h`](srctree/include/uapi/xen/gntdev.h),
//! [`include/uapi/xen/gntdev_dmabuf_v2.h`](srctree/include/uapi/xen/gntdev_dmabuf_v2.h).

use crate::xen::bindings;
use kernel::transmute::{
    AsBytes,
    FromBytes, //
};

pub(crate) use bindings::{
    gntdev_grant_copy_segment,
    ioctl_gntdev_dmabuf_exp_from_refs,
    ioctl_gntdev_dmabuf_exp_from_refs_v2,
    ioctl_gntdev_dmabuf_exp_wait_released,
    ioctl_gntdev_dmabuf_imp_release,
    ioctl_gntdev_dmabuf_imp_to_refs,
    ioctl_gntdev_dmabuf_imp_to_refs_v2,
    ioctl_gntdev_get_offset_for_vaddr,
    ioctl_gntdev_grant_copy,
    ioctl_gntdev_grant_ref,
    ioctl_gntdev_map_grant_ref,
    ioctl_gntdev_unmap_grant_ref,
    ioctl_gntdev_unmap_notify,
    GNTDEV_DMA_FLAG_COHERENT,
    GNTDEV_DMA_FLAG_WC,
    IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS,
    IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2,
    IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED,
    IOCTL_GNTDEV_DMABUF_IMP_RELEASE,
    IOCTL_GNTDEV_DMABUF_IMP_TO_REFS,
    IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2,
    IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
    IOCTL_GNTDEV_GRANT_COPY,
    IOCTL_GNTDEV_MAP_GRANT_REF,
    IOCTL_GNTDEV_SET_UNMAP_NOTIFY,
    IOCTL_GNTDEV_UNMAP_GRANT_REF,
    UNMAP_NOTIFY_CLEAR_BYTE,
    UNMAP_NOTIFY_SEND_EVENT, //
};

/// `struct ioctl_gntdev_grant_copy` of a 32-bit program.
#[cfg(CONFIG_COMPAT)]
#[repr(C)]
pub(crate) struct CompatGrantCopy {
    /// Number of segments.
    pub(crate) count: u32,
    /// Address of the first segment.
    pub(crate) segments: u32,
}

/// `IOCTL_GNTDEV_GRANT_COPY` of a 32-bit program. The number contains the size of the structure,
/// which has a pointer in it.
#[cfg(CONFIG_COMPAT)]
pub(crate) const IOCTL_GNTDEV_GRANT_COPY_COMPAT: u32 = {
    let sizes = [
        core::mem::size_of::<ioctl_gntdev_grant_copy>(),
        core::mem::size_of::<CompatGrantCopy>(),
    ];
    IOCTL_GNTDEV_GRANT_COPY - (((sizes[0] - sizes[1]) as u32) << kernel::uapi::_IOC_SIZESHIFT)
};

#[cfg(CONFIG_COMPAT)]
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for CompatGrantCopy {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_grant_ref {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_map_grant_ref {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_unmap_grant_ref {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_get_offset_for_vaddr {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_unmap_notify {}
// SAFETY: Integers without padding, one of which stands for a pointer: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_grant_copy {}
// SAFETY: The pointers in it are addresses of user memory, which are never dereferenced.
unsafe impl Send for gntdev_grant_copy_segment {}
// SAFETY: Integers, and unions of integers and a pointer: any bytes are valid, and padding may be
// written.
unsafe impl FromBytes for gntdev_grant_copy_segment {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_dmabuf_exp_from_refs {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_dmabuf_exp_from_refs_v2 {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_dmabuf_exp_wait_released {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_dmabuf_imp_to_refs {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_dmabuf_imp_to_refs_v2 {}
// SAFETY: Integers without padding: any bytes are valid.
unsafe impl FromBytes for ioctl_gntdev_dmabuf_imp_release {}
// SAFETY: Integers without padding: every byte is initialized.
unsafe impl AsBytes for ioctl_gntdev_get_offset_for_vaddr {}
