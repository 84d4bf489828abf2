// SPDX-License-Identifier: GPL-2.0

//! Tree of ranges, in place of `kernel/maple_tree.rs` of the kernel.
//!
//! The tree is a sorted map that looks at each gap for a free range.

use crate::{
    prelude::{Error, Flags, Result, EBUSY, EINVAL, ENOMEM},
    sync::Mutex,
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::{DerefMut, RangeToInclusive},
    sync::MutexGuard,
};

/// Entries by the first index of their ranges, each with its last one.
type Ranges<T> = BTreeMap<usize, (usize, T)>;

thread_local! {
    /// True if a removal in this thread has no memory.
    pub(crate) static IS_OUT_OF_MEMORY: Cell<bool> = const { Cell::new(false) };
}

pub(crate) struct SharedMapleTree<T> {
    ranges: Mutex<Ranges<T>>,
}

/// Error of an insertion.
pub(crate) struct AllocError {
    pub(crate) cause: Cause,
}

/// Reason of an error, which converts to one of the kernel.
pub(crate) struct Cause(Error);

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        cause.0
    }
}

impl<T: DerefMut> SharedMapleTree<T> {
    pub(crate) fn new() -> Self {
        Self {
            ranges: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn alloc_range(
        &self,
        size: usize,
        value: T,
        range: RangeToInclusive<usize>,
        _flags: Flags,
    ) -> Result<usize, AllocError> {
        if size == 0 {
            return Err(AllocError {
                cause: Cause(EINVAL),
            });
        }
        let mut ranges = self.ranges.lock();
        let mut free = 0;
        for (&first, &(last, _)) in ranges.iter() {
            if first - free >= size {
                break;
            }
            free = last + 1;
        }
        match free.checked_add(size - 1) {
            Some(last) if last <= range.end => {
                ranges.insert(free, (last, value));
                Ok(free)
            }
            _ => Err(AllocError {
                cause: Cause(EBUSY),
            }),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard(self.ranges.lock())
    }

    pub(crate) fn erase(&self, index: usize) -> Result<Option<T>> {
        if IS_OUT_OF_MEMORY.get() {
            return Err(ENOMEM);
        }
        let mut ranges = self.ranges.lock();
        let first = containing(&ranges, index);
        Ok(first
            .and_then(|first| ranges.remove(&first))
            .map(|(_, value)| value))
    }
}

/// Start of the range that contains `index`.
fn containing<T>(ranges: &Ranges<T>, index: usize) -> Option<usize> {
    let (&first, &(last, _)) = ranges.range(..=index).next_back()?;
    (index <= last).then_some(first)
}

/// Access to the entries.
pub(crate) struct Guard<'a, T>(MutexGuard<'a, Ranges<T>>);

impl<T: DerefMut<Target: Sized>> Guard<'_, T> {
    pub(crate) fn load(&mut self, index: usize) -> Option<&mut T::Target> {
        let first = containing(&self.0, index)?;
        self.0.get_mut(&first).map(|(_, value)| &mut **value)
    }

    pub(crate) fn ma_state(&mut self, first: usize, _last: usize) -> State<'_, T> {
        State {
            next: Some(first),
            ranges: &mut self.0,
        }
    }
}

/// Iteration over the entries.
pub(crate) struct State<'a, T> {
    next: Option<usize>,
    ranges: &'a mut Ranges<T>,
}

impl<T: DerefMut<Target: Sized>> State<'_, T> {
    /// Next entry whose range has an index up to `max`.
    pub(crate) fn find(&mut self, max: usize) -> Option<&mut T::Target> {
        let next = self.next?;
        let first = containing(self.ranges, next)
            .or_else(|| self.ranges.range(next..).next().map(|(&first, _)| first))
            .filter(|&first| first <= max)?;
        let (last, value) = self.ranges.get_mut(&first)?;
        self.next = last.checked_add(1);
        Some(&mut **value)
    }
}
