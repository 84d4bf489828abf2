// SPDX-License-Identifier: GPL-2.0

//! Files of the rooms that the KUnit tests of the FIFO event channels use. See `mod.rs` for the
//! rooms, and for the reason of this list.

pub(crate) mod kernel {
    #[allow(dead_code, unused_imports, unused_macros)]
    pub(crate) mod per_cpu;
}

pub(crate) mod event {
    pub(crate) mod atomic;
    pub(crate) mod hypervisor;
    pub(crate) mod locked_word;
    #[allow(dead_code)]
    pub(crate) mod page_reserve;
    #[allow(dead_code)]
    pub(crate) mod shared_page;
    mod unpublish;
}
