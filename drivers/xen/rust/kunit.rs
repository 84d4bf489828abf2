// SPDX-License-Identifier: GPL-2.0

//! Files of the rooms that the KUnit tests of gntdev use. See `mod.rs` for the rooms, and for the
//! reason of this list.

pub(crate) mod bindings;

pub(crate) mod kernel {
    #[allow(dead_code)]
    pub(crate) mod dma_direction;
    pub(crate) mod maple_tree;
    pub(crate) mod page_array;
}

pub(crate) mod grant {
    pub(crate) mod copy;
    #[allow(dead_code)]
    pub(crate) mod gfn;
    #[allow(dead_code)]
    pub(crate) mod operation;
    pub(crate) mod retry;
    pub(crate) mod unmap;
}

pub(crate) mod dma_buf {
    pub(crate) mod segment;
}

pub(crate) mod gntdev {
    pub(crate) mod copy_segment;
    #[allow(dead_code, unused_imports)]
    pub(crate) mod uapi;
}
