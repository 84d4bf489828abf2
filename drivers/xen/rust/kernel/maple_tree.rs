// SPDX-License-Identifier: GPL-2.0

//! Maple tree that threads can share.
//!
//! The tree of the kernel crate takes its lock in every method, but is not `Sync`. And its
//! `erase()` takes an entry as removed also if `mas_erase()` found it but had no memory to remove
//! it.
//!
//! C header: [`include/linux/maple_tree.h`](srctree/include/linux/maple_tree.h).

use crate::xen::bindings;
use core::{
    ops::RangeBounds,
    ptr, //
};
use kernel::{
    alloc::Flags,
    maple_tree::{
        AllocError,
        MapleGuard,
        MapleTree,
        MapleTreeAlloc, //
    },
    prelude::*,
    types::ForeignOwnable, //
};

/// [`MapleTreeAlloc`] that several threads may use at once.
#[pin_data]
pub(crate) struct SharedMapleTree<T: ForeignOwnable> {
    #[pin]
    tree: MapleTreeAlloc<T>,
}

// SAFETY: The tree is not bound to a thread, and neither are its entries.
unsafe impl<T: ForeignOwnable + Send> Send for SharedMapleTree<T> {}
// SAFETY: Every method of the tree holds the tree's spinlock while it works on the tree or lends an
// entry, so that one thread at a time has an entry.
unsafe impl<T: ForeignOwnable + Send> Sync for SharedMapleTree<T> {}

impl<T: ForeignOwnable> SharedMapleTree<T> {
    /// Makes an empty tree.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            tree <- MapleTreeAlloc::new(),
        })
    }

    /// Inserts `value` at the lowest free range of `size` indices within `range`, and returns the
    /// first index of the range (C: `mtree_alloc_range()`). May sleep if `flags` allow it.
    ///
    /// # Errors
    ///
    /// Returns `value` to the caller if there is no such range or no memory.
    pub(crate) fn alloc_range(
        &self,
        size: usize,
        value: T,
        range: impl RangeBounds<usize>,
        flags: Flags,
    ) -> Result<usize, AllocError<T>> {
        self.tree.alloc_range(size, value, range, flags)
    }

    /// Takes the spinlock of the tree, for access to entries.
    pub(crate) fn lock(&self) -> MapleGuard<'_, T> {
        self.tree.lock()
    }

    /// Removes the entry at `index` with all of its range, if there is one (C: `mas_erase()`). May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, in which case the entry is still in the tree: freeing a range can need memory.
    pub(crate) fn erase(&self, index: usize) -> Result<Option<T>> {
        let tree: &MapleTree<T> = &self.tree;
        // The tree is a transparent wrapper of a C structure, which C code may change at any time.
        let raw = ptr::from_ref(tree)
            .cast_mut()
            .cast::<bindings::maple_tree>();
        let mut state = bindings::ma_state {
            tree: raw,
            index,
            last: index,
            status: bindings::maple_status_ma_start,
            max: usize::MAX,
            store_type: bindings::store_type_wr_invalid,
            ..Default::default()
        };
        let _guard = tree.lock();
        // SAFETY: The state is one of a valid tree whose lock this function holds. The C function
        // releases the lock to allocate, and then looks for the entry again.
        let entry = unsafe { bindings::mas_erase(&mut state) };
        if entry.is_null() {
            return Ok(None);
        }
        // Without memory the function returns the entry, too, but leaves it in the tree.
        // SAFETY: The tree is valid.
        if !unsafe { bindings::mtree_load(raw, index) }.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The entry was made of a `T`, as all entries are. The tree does not have it any
        // more: it is empty at the index, and the lock has been held since the entry was found.
        Ok(Some(unsafe { T::from_foreign(entry) }))
    }
}
