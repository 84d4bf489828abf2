// SPDX-License-Identifier: GPL-2.0

//! Parameters of the kernel command line that are read at boot.
//!
//! The parameters of the kernel crate belong to modules, and are named after them.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h).

/// Declares an [`AtomicBool`] and makes it a parameter of the command line, readable through sysfs
/// (C: `module_param_named(name, variable, bool, 0444)` in built-in code).
///
/// [`AtomicBool`]: core::sync::atomic::AtomicBool
macro_rules! bool_boot_param {
    ($(#[$attribute:meta])* $name:literal, static $static:ident = $default:expr;) => {
        $(#[$attribute])*
        static $static: ::core::sync::atomic::AtomicBool =
            ::core::sync::atomic::AtomicBool::new($default);

        #[allow(unsafe_code)]
        const _: () = {
            #[link_section = "__param"]
            #[used(compiler)]
            static PARAMETER: ::kernel::module_param::KernelParam =
                ::kernel::module_param::KernelParam::new(::kernel::bindings::kernel_param {
                    name: ::kernel::str::as_char_ptr_in_const_context(::kernel::c_str!($name)),
                    mod_: ::core::ptr::null_mut(),
                    ops: &raw const ::kernel::bindings::param_ops_bool,
                    perm: 0o444,
                    level: -1,
                    flags: 0,
                    __bindgen_anon_1: ::kernel::bindings::kernel_param__bindgen_ty_1 {
                        arg: $static.as_ptr().cast(),
                    },
                });
        };
    };
}
pub(crate) use bool_boot_param;
