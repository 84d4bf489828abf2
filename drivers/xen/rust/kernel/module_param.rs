// SPDX-License-Identifier: GPL-2.0

//! Module parameters that can be written through sysfs.
//!
//! The parameters of the kernel crate can only be set when the module is loaded.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h).

use core::cell::UnsafeCell;

/// Value of a parameter of the C type `unsigned int`.
#[repr(transparent)]
pub(crate) struct UintParam(UnsafeCell<u32>);

// SAFETY: The value is only read by volatile accesses; the kernel writes it with a single store.
unsafe impl Sync for UintParam {}

impl UintParam {
    /// Makes a parameter with the value `default`.
    pub(crate) const fn new(default: u32) -> Self {
        Self(UnsafeCell::new(default))
    }

    /// Returns the current value. It can differ at the next call.
    pub(crate) fn get(&self) -> u32 {
        // SAFETY: The pointer is valid. `param_set_uint()` may write concurrently, with a single
        // store of an aligned word, so that the read has the semantics of `READ_ONCE()`.
        unsafe { self.0.get().read_volatile() }
    }

    /// Returns the address that the parameter code of the kernel writes to.
    pub(crate) const fn as_ptr(&self) -> *mut u32 {
        self.0.get()
    }
}

/// Declares a static [`UintParam`] and registers it as a parameter of this module, readable by all
/// and writable by root (C: `module_param(name, uint, 0644)`).
macro_rules! uint_param {
    (
        $(#[$attribute:meta])*
        $module:literal, $name:literal, static $static:ident = $default:expr, $description:literal
    ) => {
        $(#[$attribute])*
        pub(crate) static $static: $crate::xen::kernel::module_param::UintParam =
            $crate::xen::kernel::module_param::UintParam::new($default);

        #[allow(unsafe_code)]
        const _: () = {
            use $crate::xen::kernel::module_param::modinfo;

            #[link_section = "__param"]
            #[used(compiler)]
            static PARAMETER: ::kernel::module_param::KernelParam =
                ::kernel::module_param::KernelParam::new(::kernel::bindings::kernel_param {
                    name: ::kernel::str::as_char_ptr_in_const_context(if cfg!(MODULE) {
                        ::kernel::c_str!($name)
                    } else {
                        ::kernel::c_str!(concat!($module, ".", $name))
                    }),
                    #[cfg(MODULE)]
                    mod_: (&raw const ::kernel::bindings::__this_module).cast_mut(),
                    #[cfg(not(MODULE))]
                    mod_: ::core::ptr::null_mut(),
                    ops: &raw const $crate::xen::bindings::param_ops_uint,
                    perm: 0o644,
                    level: -1,
                    flags: 0,
                    __bindgen_anon_1: ::kernel::bindings::kernel_param__bindgen_ty_1 {
                        arg: $static.as_ptr().cast(),
                    },
                });

            modinfo!($module, "parmtype=", concat!($name, ":uint"));
            modinfo!($module, "parm=", concat!($name, ":", $description));
        };
    };
}
pub(crate) use uint_param;

/// Adds an entry to the information of the module (C: `MODULE_INFO()`).
macro_rules! modinfo {
    ($module:literal, $tag:literal, $value:expr) => {
        const _: () = {
            const TEXT: &str = if cfg!(MODULE) {
                concat!($tag, $value, "\0")
            } else {
                concat!($module, ".", $tag, $value, "\0")
            };

            #[link_section = ".modinfo"]
            #[used(compiler)]
            static ENTRY: [u8; TEXT.len()] = {
                let mut bytes = [0; TEXT.len()];
                let mut i = 0;
                while i < bytes.len() {
                    bytes[i] = TEXT.as_bytes()[i];
                    i += 1;
                }
                bytes
            };
        };
    };
}
pub(crate) use modinfo;
