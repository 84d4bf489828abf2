// SPDX-License-Identifier: GPL-2.0

//! A maple tree that threads can share.
//!
//! The kernel crate's tree locks itself in every method, but does not say so to the compiler.
//!
//! C header: [`include/linux/maple_tree.h`](srctree/include/linux/maple_tree.h).

use core::ops::Deref;
use kernel::{
    maple_tree::MapleTreeAlloc,
    prelude::*,
    types::ForeignOwnable, //
};

/// A [`MapleTreeAlloc`] that may be used by several threads at once.
#[pin_data]
pub(crate) struct SharedMapleTree<T: ForeignOwnable> {
    #[pin]
    tree: MapleTreeAlloc<T>,
}

// SAFETY: The tree is not bound to a thread, and neither are its entries.
unsafe impl<T: ForeignOwnable + Send> Send for SharedMapleTree<T> {}
// SAFETY: Every method of the tree takes the tree's spinlock while it works on the tree or lends an
// entry, so one entry is with one thread at a time.
unsafe impl<T: ForeignOwnable + Send> Sync for SharedMapleTree<T> {}

impl<T: ForeignOwnable> SharedMapleTree<T> {
    /// An empty tree.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            tree <- MapleTreeAlloc::new(),
        })
    }
}

impl<T: ForeignOwnable> Deref for SharedMapleTree<T> {
    type Target = MapleTreeAlloc<T>;

    fn deref(&self) -> &Self::Target {
        &self.tree
    }
}
