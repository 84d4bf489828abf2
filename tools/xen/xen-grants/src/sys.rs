// SPDX-License-Identifier: GPL-2.0

//! Functions of the distribution's Xen libraries, as their headers declare them: `xengnttab.h`,
//! `xenevtchn.h`, `xenstore.h` and `libxenvchan.h`.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_ulong;
use std::ffi::c_void;

use crate::grant_copy::RawSegment;

/// Declares types of which only the library knows the contents.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            pub(crate) struct $name {
                _opaque: [u8; 0],
            }
        )*
    };
}

opaque! {
    /// `xengnttab_handle`.
    Gnttab;
    /// `xengntshr_handle`.
    Gntshr;
    /// `xenevtchn_handle`.
    Evtchn;
    /// `struct xs_handle`.
    Xs;
}

/// First fields of `struct libxenvchan`; the library allocates the structure.
#[repr(C)]
pub(crate) struct Vchan {
    gnttab_or_gntshr: *mut c_void,
    ring: *mut c_void,
    event: *mut Evtchn,
    event_port: u32,
    /// Bit fields: `is_server`, `server_persist`, `blocking`.
    pub(crate) flags: c_uint,
}

/// The bit field `blocking` of [`Vchan`].
pub(crate) const VCHAN_BLOCKING: c_uint = 1 << 2;

/// `XBT_NULL`.
pub(crate) const NO_TRANSACTION: u32 = 0;

#[link(name = "xengnttab")]
extern "C" {
    pub(crate) fn xengnttab_open(logger: *mut c_void, flags: c_uint) -> *mut Gnttab;
    pub(crate) fn xengnttab_close(handle: *mut Gnttab) -> c_int;
    pub(crate) fn xengnttab_fd(handle: *mut Gnttab) -> c_int;
    pub(crate) fn xengnttab_set_max_grants(handle: *mut Gnttab, count: u32) -> c_int;
    pub(crate) fn xengnttab_map_grant_ref(
        handle: *mut Gnttab,
        domid: u32,
        reference: u32,
        protection: c_int,
    ) -> *mut c_void;
    pub(crate) fn xengnttab_map_grant_refs(
        handle: *mut Gnttab,
        count: u32,
        domids: *mut u32,
        references: *mut u32,
        protection: c_int,
    ) -> *mut c_void;
    pub(crate) fn xengnttab_map_domain_grant_refs(
        handle: *mut Gnttab,
        count: u32,
        domid: u32,
        references: *mut u32,
        protection: c_int,
    ) -> *mut c_void;
    pub(crate) fn xengnttab_map_grant_ref_notify(
        handle: *mut Gnttab,
        domid: u32,
        reference: u32,
        protection: c_int,
        offset: u32,
        port: u32,
    ) -> *mut c_void;
    pub(crate) fn xengnttab_unmap(handle: *mut Gnttab, start: *mut c_void, count: u32) -> c_int;
    pub(crate) fn xengnttab_grant_copy(
        handle: *mut Gnttab,
        count: u32,
        segments: *mut RawSegment,
    ) -> c_int;
    pub(crate) fn xengnttab_dmabuf_exp_from_refs(
        handle: *mut Gnttab,
        domid: u32,
        flags: u32,
        count: u32,
        references: *const u32,
        fd: *mut u32,
    ) -> c_int;
    pub(crate) fn xengnttab_dmabuf_exp_wait_released(
        handle: *mut Gnttab,
        fd: u32,
        wait_to_ms: u32,
    ) -> c_int;
    pub(crate) fn xengnttab_dmabuf_imp_to_refs(
        handle: *mut Gnttab,
        domid: u32,
        fd: u32,
        count: u32,
        references: *mut u32,
    ) -> c_int;
    pub(crate) fn xengnttab_dmabuf_imp_release(handle: *mut Gnttab, fd: u32) -> c_int;

    pub(crate) fn xengntshr_open(logger: *mut c_void, flags: c_uint) -> *mut Gntshr;
    pub(crate) fn xengntshr_close(handle: *mut Gntshr) -> c_int;
    pub(crate) fn xengntshr_share_pages(
        handle: *mut Gntshr,
        domid: u32,
        count: c_int,
        references: *mut u32,
        writable: c_int,
    ) -> *mut c_void;
    pub(crate) fn xengntshr_unshare(handle: *mut Gntshr, start: *mut c_void, count: u32) -> c_int;
}

#[link(name = "xenevtchn")]
extern "C" {
    pub(crate) fn xenevtchn_open(logger: *mut c_void, flags: c_uint) -> *mut Evtchn;
    pub(crate) fn xenevtchn_close(handle: *mut Evtchn) -> c_int;
    pub(crate) fn xenevtchn_fd(handle: *mut Evtchn) -> c_int;
    pub(crate) fn xenevtchn_bind_unbound_port(handle: *mut Evtchn, domid: u32) -> c_int;
    pub(crate) fn xenevtchn_bind_interdomain(
        handle: *mut Evtchn,
        domid: u32,
        remote_port: u32,
    ) -> c_int;
    pub(crate) fn xenevtchn_unbind(handle: *mut Evtchn, port: u32) -> c_int;
    pub(crate) fn xenevtchn_notify(handle: *mut Evtchn, port: u32) -> c_int;
    pub(crate) fn xenevtchn_pending(handle: *mut Evtchn) -> c_int;
    pub(crate) fn xenevtchn_unmask(handle: *mut Evtchn, port: u32) -> c_int;
}

#[link(name = "xenstore")]
extern "C" {
    pub(crate) fn xs_open(flags: c_ulong) -> *mut Xs;
    pub(crate) fn xs_close(handle: *mut Xs);
    pub(crate) fn xs_read(
        handle: *mut Xs,
        transaction: u32,
        path: *const c_char,
        length: *mut c_uint,
    ) -> *mut c_void;
    pub(crate) fn xs_write(
        handle: *mut Xs,
        transaction: u32,
        path: *const c_char,
        data: *const c_void,
        length: c_uint,
    ) -> bool;
    pub(crate) fn xs_rm(handle: *mut Xs, transaction: u32, path: *const c_char) -> bool;
    pub(crate) fn xs_watch(handle: *mut Xs, path: *const c_char, token: *const c_char) -> bool;
    pub(crate) fn xs_fileno(handle: *mut Xs) -> c_int;
    pub(crate) fn xs_check_watch(handle: *mut Xs) -> *mut *mut c_char;
}

#[link(name = "xenvchan")]
extern "C" {
    pub(crate) fn libxenvchan_server_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
        read_min: usize,
        write_min: usize,
    ) -> *mut Vchan;
    pub(crate) fn libxenvchan_client_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
    ) -> *mut Vchan;
    pub(crate) fn libxenvchan_close(control: *mut Vchan);
    pub(crate) fn libxenvchan_read(control: *mut Vchan, data: *mut c_void, size: usize) -> c_int;
    pub(crate) fn libxenvchan_write(control: *mut Vchan, data: *const c_void, size: usize)
        -> c_int;
    pub(crate) fn libxenvchan_wait(control: *mut Vchan) -> c_int;
    pub(crate) fn libxenvchan_fd_for_select(control: *mut Vchan) -> c_int;
    pub(crate) fn libxenvchan_is_open(control: *mut Vchan) -> c_int;
}
