// SPDX-License-Identifier: GPL-2.0

//! Files of the rooms that the FIFO event channels consist of. See `mod.rs` for the rooms, and for
//! the reason of this list.

pub(crate) mod bindings;

pub(crate) mod kernel {
    pub(crate) mod boot_param;
    pub(crate) mod per_cpu;
}

pub(crate) mod event {
    pub(crate) mod atomic;
    pub(crate) mod event_channel_op;
    pub(crate) mod evtchn_ops;
    pub(crate) mod hypervisor;
    pub(crate) mod locked_word;
    pub(crate) mod page_reserve;
    pub(crate) mod shared_page;
}
