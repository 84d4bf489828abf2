// SPDX-License-Identifier: GPL-2.0

//! Plan of a batch of copies: pages of the program to pin, and the splitting of segments into
//! operations.
//!
//! The code accesses no memory, so that all of it is tested without a hypervisor.

#![forbid(unsafe_code)]

use crate::xen::{
    bindings::{
        self,
        gnttab_copy, //
    },
    gntdev::copy_segment::{
        CopySegment,
        SegmentEnd, //
    },
    grant::{
        copy::{
            copy_operation,
            CopyEnd, //
        },
        gfn::XEN_PAGE_SIZE,
    },
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Adjacent pages of a program, which are pinned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Number of the first page in the address space.
    pub(crate) first: usize,
    /// Number of pages, at least one.
    pub(crate) count: usize,
}

impl Run {
    /// Returns the pages that contain `length` bytes at `address`. `length` must not be 0.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the bytes end beyond the last address.
    fn of_bytes(address: usize, length: usize) -> Result<Self> {
        let first = address >> PAGE_SHIFT;
        let last = address.checked_add(length - 1).ok_or(EFAULT)? >> PAGE_SHIFT;
        Ok(Self {
            first,
            count: last - first + 1,
        })
    }

    /// Adds the pages of `other`, if they begin within the run or directly behind it. Returns true
    /// if they do.
    fn extend(&mut self, other: Self) -> bool {
        let Some(skipped) = other.first.checked_sub(self.first) else {
            return false;
        };
        if skipped > self.count {
            return false;
        }
        self.count = self.count.max(skipped + other.count);
        true
    }
}

/// Runs that the pages of segments form.
#[derive(Default)]
pub(crate) struct Runs {
    current: Option<Run>,
    /// Number of pages in the runs before the current one.
    before: usize,
}

impl Runs {
    /// Adds the pages of `length` bytes at `address`. `length` must not be 0. Returns the index of
    /// the first of these pages among those of all runs, and the previous run if the pages start a
    /// new one.
    ///
    /// # Errors
    ///
    /// Those of [`Run::of_bytes`].
    pub(crate) fn add(&mut self, address: usize, length: usize) -> Result<(usize, Option<Run>)> {
        let added = Run::of_bytes(address, length)?;
        if let Some(current) = &mut self.current {
            if current.extend(added) {
                return Ok((self.before + added.first - current.first, None));
            }
        }
        let ended = self.finish();
        self.current = Some(added);
        Ok((self.before, ended))
    }

    /// Ends the current run, if there is one, and returns it.
    pub(crate) fn finish(&mut self) -> Option<Run> {
        let ended = self.current.take()?;
        self.before += ended.count;
        Some(ended)
    }
}

/// Segment, and the pages of its local ends.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Segment to copy.
    pub(crate) segment: CopySegment,
    /// Index of the first pinned page of the source, if it is local.
    pub(crate) source_page: usize,
    /// Index of the first pinned page of the destination, if it is local.
    pub(crate) destination_page: usize,
}

impl Plan {
    /// Passes the operations that copy the segment to `push`, each within one page at either end,
    /// and returns their number. `source` and `destination` return the frame of a pinned page by
    /// its index.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no such page; those of `push`.
    pub(crate) fn split(
        &self,
        source: impl Fn(usize) -> Option<u64>,
        destination: impl Fn(usize) -> Option<u64>,
        mut push: impl FnMut(gnttab_copy) -> Result,
    ) -> Result<usize> {
        let segment = &self.segment;
        let mut operations = 0;
        let mut copied = 0;
        while copied < segment.length {
            let (from, from_room) = locate(segment.source, copied, self.source_page, &source)?;
            let (to, to_room) = locate(
                segment.destination,
                copied,
                self.destination_page,
                &destination,
            )?;
            let length = (segment.length - copied).min(from_room).min(to_room);
            push(copy_operation(from, to, length as u16))?;
            operations += 1;
            copied += length;
        }
        Ok(operations)
    }
}

/// Returns the location at `copied` bytes from the start of `end`, whose first page has the index
/// `first_page` if it is local, and the number of bytes from there to the end of the page.
fn locate(
    end: SegmentEnd,
    copied: usize,
    first_page: usize,
    frame: impl Fn(usize) -> Option<u64>,
) -> Result<(CopyEnd, usize)> {
    match end {
        // `CopySegment::check()` has verified that the segment ends within the page.
        SegmentEnd::Grant(grant, offset) => {
            let offset = usize::from(offset) + copied;
            let room = XEN_PAGE_SIZE - offset;
            Ok((CopyEnd::Grant(grant, offset as u16), room))
        }
        SegmentEnd::Local(address) => {
            let offset = address % PAGE_SIZE + copied;
            let page = frame(first_page + offset / PAGE_SIZE).ok_or(EFAULT)?;
            let frame = page + (offset % PAGE_SIZE / XEN_PAGE_SIZE) as u64;
            let offset = offset % XEN_PAGE_SIZE;
            Ok((CopyEnd::Frame(frame, offset as u16), XEN_PAGE_SIZE - offset))
        }
    }
}

/// Returns the status of a segment: that of the first of its operations that failed. Consumes all
/// of `operations`.
pub(crate) fn segment_status(operations: impl Iterator<Item = i16>) -> i16 {
    const OKAY: i16 = bindings::GNTST_okay as i16;
    operations.fold(
        OKAY,
        |first, status| {
            if first == OKAY {
                status
            } else {
                first
            }
        },
    )
}
