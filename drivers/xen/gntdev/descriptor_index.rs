// SPDX-License-Identifier: GPL-2.0

//! What stands behind file descriptor numbers, in the order of its making.
//!
//! A program names buffers by the numbers that they had as file descriptors, also after it closed
//! them. A number can come to stand for another buffer then: several entries can have the same
//! number, and the number means the newest of them.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
};

/// Names one entry of an index, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    descriptor: u32,
    /// Counts down, so that of a number's entries the newest is the first.
    rank: u64,
}

/// Memory for one entry.
pub(crate) struct Room<T>(RBTreeNodeReservation<Key, T>);

impl<T> Room<T> {
    /// Allocates it. May sleep.
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
    /// An index without entries.
    pub(crate) fn new() -> Self {
        Self {
            entries: RBTree::new(),
            next_rank: u64::MAX,
        }
    }

    /// Adds `value` as what `descriptor` stands for from now on.
    pub(crate) fn insert(&mut self, room: Room<T>, descriptor: u32, value: T) -> Key {
        let key = Key {
            descriptor,
            rank: self.next_rank,
        };
        // So many entries cannot be made in the time that a machine runs.
        self.next_rank = self.next_rank.wrapping_sub(1);
        self.entries.insert(room.0.into_node(key, value));
        key
    }

    /// What `descriptor` stands for: the newest entry of that number.
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

    /// Removes what [`Self::newest`] finds.
    pub(crate) fn take_newest(&mut self, descriptor: u32) -> Option<T> {
        let (key, _) = self.newest(descriptor)?;
        self.remove(key)
    }

    /// Removes the entry that has `key`.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.entries.remove(&key)
    }

    /// All entries with their numbers, by number, the newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.descriptor, value))
    }
}
