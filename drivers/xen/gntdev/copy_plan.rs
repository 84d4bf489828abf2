// SPDX-License-Identifier: GPL-2.0

//! How segments become copy operations: which pages of the program are pinned, and where each
//! segment is cut.
//!
//! Nothing here touches memory, so that all of it is tested without a hypervisor.

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

/// Adjacent pages of a program, which can be pinned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first page's number in the address space.
    pub(crate) first: usize,
    /// How many pages there are, at least one.
    pub(crate) count: usize,
}

impl Run {
    /// The pages that `length` bytes at `address` are in. `length` must not be 0.
    ///
    /// # Errors
    ///
    /// `EFAULT` if that is beyond the end of all addresses.
    fn of_bytes(address: usize, length: usize) -> Result<Self> {
        let first = address >> PAGE_SHIFT;
        let last = address.checked_add(length - 1).ok_or(EFAULT)? >> PAGE_SHIFT;
        Ok(Self {
            first,
            count: last - first + 1,
        })
    }

    /// Adds the pages of `other`, if these begin within the run or right behind it, and returns
    /// whether they do.
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

/// Collects the pages of segments into runs.
#[derive(Default)]
pub(crate) struct Runs {
    current: Option<Run>,
    /// How many pages the runs before the current one have.
    before: usize,
}

impl Runs {
    /// Adds the pages of `length` bytes at `address`. `length` must not be 0. Returns the index
    /// that the first of these pages has among those of all runs, and the run that ended because
    /// they do not fit on to it.
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

/// A segment, and where the pages of its local ends are.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// What is to be copied.
    pub(crate) segment: CopySegment,
    /// The index of the first pinned page of an end that is local.
    pub(crate) source_page: usize,
    /// As `source_page`.
    pub(crate) destination_page: usize,
}

impl Plan {
    /// Hands to `push` the operations that copy the segment, each within one page at either end,
    /// and returns how many these are. `source` and `destination` tell the frame of a pinned page
    /// by its index.
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

/// Finds what is `copied` bytes from the start of `end`, whose first page has the index
/// `first_page` if it is local, and how many bytes there are up to the end of that page.
fn locate(
    end: SegmentEnd,
    copied: usize,
    first_page: usize,
    frame: impl Fn(usize) -> Option<u64>,
) -> Result<(CopyEnd, usize)> {
    match end {
        // The segment was checked to end within the page.
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

/// The status of a segment, of the statuses of its operations: that of the first one that failed.
/// Takes all of `operations`.
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
