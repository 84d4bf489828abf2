// SPDX-License-Identifier: GPL-2.0

//! Index of buffers by file descriptor number, with the order of their creation.
//!
//! A program names buffers by the numbers of their file descriptors, also after it has closed
//! these. A number can be reused for another buffer: several entries can have the same number,
//! which then names the newest of them.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
};

/// Permanent key of one entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    descriptor: u32,
    /// Decreases with each entry, so that the newest entry of a number comes first.
    rank: u64,
}

/// Memory for one entry.
pub(crate) struct Room<T>(RBTreeNodeReservation<Key, T>);

impl<T> Room<T> {
    /// Allocates the memory. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        RBTreeNodeReservation::new(GFP_KERNEL).map(Self)
    }
}

/// Values by file descriptor number.
pub(crate) struct DescriptorIndex<T> {
    entries: RBTree<Key, T>,
    next_rank: u64,
}

impl<T> DescriptorIndex<T> {
    /// Makes an index without entries.
    pub(crate) fn new() -> Self {
        Self {
            entries: RBTree::new(),
            next_rank: u64::MAX,
        }
    }

    /// Adds `value` as the newest entry of `descriptor`, and returns its key.
    pub(crate) fn insert(&mut self, room: Room<T>, descriptor: u32, value: T) -> Key {
        let key = Key {
            descriptor,
            rank: self.next_rank,
        };
        // A machine does not run long enough for the counter to wrap around.
        self.next_rank = self.next_rank.wrapping_sub(1);
        self.entries.insert(room.0.into_node(key, value));
        key
    }

    /// Returns the newest entry of `descriptor`.
    pub(crate) fn newest(&self, descriptor: u32) -> Option<(Key, &T)> {
        let from = Key {
            descriptor,
            rank: 0,
        };
        let key = *self.entries.cursor_lower_bound(&from)?.current().0;
        if key.descriptor != descriptor {
            return None;
        }
        Some((key, self.entries.get(&key)?))
    }

    /// Removes the entry that [`Self::newest`] returns.
    pub(crate) fn take_newest(&mut self, descriptor: u32) -> Option<T> {
        let (key, _) = self.newest(descriptor)?;
        self.remove(key)
    }

    /// Removes the entry that has `key`.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.entries.remove(&key)
    }

    /// Returns all entries with their numbers, ordered by number, the newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.descriptor, value))
    }
}
