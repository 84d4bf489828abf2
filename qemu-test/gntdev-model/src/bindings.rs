// SPDX-License-Identifier: GPL-2.0

//! Structures and constants of the C headers, as bindgen names them.
//!
//! C headers: `include/xen/interface/grant_table.h`, `include/uapi/xen/gntdev.h`.

#![allow(non_camel_case_types, non_upper_case_globals)]

use crate::xen::grant::copy::CopyEnd;
use std::ffi::c_void;

pub(crate) const GNTST_okay: u32 = 0;
pub(crate) const GNTST_no_device_space: i32 = -7;
pub(crate) const GNTST_bad_page: i32 = -9;
pub(crate) const GNTST_eagain: i32 = -12;
pub(crate) const GNTST_no_space: i32 = -13;

pub(crate) const GNTMAP_host_map: u32 = 1 << 1;
pub(crate) const GNTMAP_readonly: u32 = 1 << 2;
pub(crate) const GNTMAP_application_map: u32 = 1 << 3;
pub(crate) const GNTMAP_contains_pte: u32 = 1 << 4;
pub(crate) const _GNTMAP_guest_avail0: u32 = 16;

pub(crate) const GNTCOPY_source_gref: u32 = 1 << 0;
pub(crate) const GNTCOPY_dest_gref: u32 = 1 << 1;

pub(crate) const INVALID_GRANT_HANDLE: u32 = u32::MAX;

pub(crate) const GNTDEV_DMA_FLAG_WC: u32 = 1 << 0;
pub(crate) const GNTDEV_DMA_FLAG_COHERENT: u32 = 1 << 1;

#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct gnttab_map_grant_ref {
    pub(crate) host_addr: u64,
    pub(crate) flags: u32,
    pub(crate) ref_: u32,
    pub(crate) dom: u16,
    pub(crate) status: i16,
    pub(crate) handle: u32,
    pub(crate) dev_bus_addr: u64,
}

#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct gnttab_unmap_grant_ref {
    pub(crate) host_addr: u64,
    pub(crate) dev_bus_addr: u64,
    pub(crate) handle: u32,
    pub(crate) status: i16,
}

/// A copy operation, whose ends say by their type what the unions of the C structure hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct gnttab_copy {
    pub(crate) source: CopyEnd,
    pub(crate) dest: CopyEnd,
    pub(crate) len: u16,
    pub(crate) status: i16,
}

#[derive(Clone, Copy)]
pub(crate) struct gntdev_grant_copy_segment {
    pub(crate) source: gntdev_grant_copy_segment__bindgen_ty_1,
    pub(crate) dest: gntdev_grant_copy_segment__bindgen_ty_1,
    pub(crate) len: u16,
    pub(crate) flags: u16,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union gntdev_grant_copy_segment__bindgen_ty_1 {
    pub(crate) virt: *mut c_void,
    pub(crate) foreign: gntdev_grant_copy_segment__bindgen_ty_1__bindgen_ty_1,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct gntdev_grant_copy_segment__bindgen_ty_1__bindgen_ty_1 {
    pub(crate) ref_: u32,
    pub(crate) offset: u16,
    pub(crate) domid: u16,
}
