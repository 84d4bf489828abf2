// SPDX-License-Identifier: GPL-2.0

//! The ioctl that copies between memory of a program and granted pages, or between granted pages.
//!
//! Segments are handled in batches. All user pages of a batch are pinned first, runs of adjacent
//! ones together; then one hypercall copies all segments of the batch. The arrays of a batch belong
//! to the open file and are reused.

#![forbid(unsafe_code)]

use crate::{
    copy_plan::{
        segment_status,
        Plan,
        Run,
        Runs, //
    },
    xen::{
        bindings::gnttab_copy,
        gntdev::{
            copy_segment::{
                CopySegment,
                ProgramAbi,
                SegmentEnd, //
            },
            trace,
            uapi::{
                gntdev_grant_copy_segment,
                ioctl_gntdev_grant_copy, //
            },
        },
        grant::{
            gfn,
            hypercall, //
        },
        kernel::{
            sched::{
                cond_resched,
                fatal_signal_pending, //
            },
            user_memory,
            user_pages::{
                PinFor,
                PinnedPages, //
            },
        },
    },
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    sync::Mutex,
    uaccess::UserPtr, //
};

/// Maximum number of segments that one hypercall copies.
const BATCH: usize = 256;

/// Maximum number of pages that the local end of a segment touches: the other end is within one
/// page, so that the segment is not longer than a page.
const PAGES_PER_SEGMENT: usize = 2;

/// Unused arrays for batches. There are as many sets as there were concurrent callers at most.
#[pin_data]
pub(crate) struct BatchPool {
    /// List of the unused sets. The lock is not held while a batch is in use.
    #[pin]
    unused: Mutex<BatchList>,
}

impl BatchPool {
    /// Makes a pool without arrays.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            unused <- new_mutex!(BatchList::default(), "BatchPool::unused"),
        })
    }

    fn take(&self) -> Result<KBox<Batch>> {
        let unused = self.unused.lock().pop();
        unused.map_or_else(Batch::new, Ok)
    }

    fn put(&self, batch: KBox<Batch>) {
        self.unused.lock().push(batch);
    }
}

/// List through [`Batch::next`], so that returning a batch cannot fail.
#[derive(Default)]
struct BatchList {
    first: Option<KBox<Batch>>,
}

impl BatchList {
    fn push(&mut self, mut batch: KBox<Batch>) {
        batch.next = self.first.take();
        self.first = Some(batch);
    }

    fn pop(&mut self) -> Option<KBox<Batch>> {
        let mut batch = self.first.take()?;
        self.first = batch.next.take();
        Some(batch)
    }
}

impl Drop for BatchList {
    fn drop(&mut self) {
        // Entries are dropped one by one: dropping the list would drop each entry inside of the
        // previous one, and overflow the stack.
        while self.pop().is_some() {}
    }
}

/// Arrays for one batch.
struct Batch {
    /// Segments as the program passed them.
    segments: KVVec<gntdev_grant_copy_segment>,
    plans: KVVec<Planned>,
    operations: KVVec<gnttab_copy>,
    sources: PinnedPages,
    destinations: PinnedPages,
    next: Option<KBox<Batch>>,
}

/// Plan of one segment.
#[derive(Clone, Copy)]
struct Planned {
    plan: Plan,
    /// Number of operations that it takes.
    operations: usize,
}

impl Batch {
    fn new() -> Result<KBox<Self>> {
        let pages = BATCH * PAGES_PER_SEGMENT;
        Ok(KBox::new(
            Self {
                segments: KVVec::with_capacity(BATCH, GFP_KERNEL_ACCOUNT)?,
                plans: KVVec::with_capacity(BATCH, GFP_KERNEL_ACCOUNT)?,
                operations: KVVec::with_capacity(pages, GFP_KERNEL_ACCOUNT)?,
                sources: PinnedPages::with_capacity(pages, PinFor::Reading)?,
                destinations: PinnedPages::with_capacity(pages, PinFor::Writing)?,
                next: None,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Copies `count` segments from the array at `address` in the program.
    fn copy(&mut self, address: UserPtr, count: usize, abi: ProgramAbi) -> Result {
        user_memory::read_into(address, count, &mut self.segments)?;
        let result = self.pin(abi).and_then(|()| self.build());
        if result.is_ok() {
            hypercall::copy(&mut self.operations);
            trace::copy(
                self.plans.len(),
                self.operations.len(),
                self.sources.len() + self.destinations.len(),
            );
        }
        self.sources.unpin();
        self.destinations.unpin();
        result?;
        self.report(address)
    }

    /// Checks the segments and pins the user pages of all of them.
    fn pin(&mut self, abi: ProgramAbi) -> Result {
        self.plans.clear();
        let mut runs = Runs::default();
        for raw in &self.segments {
            let segment = CopySegment::from_user(raw, abi);
            segment.check()?;
            let destination_page = add_and_pin(
                segment.destination,
                segment.length,
                &mut runs,
                &mut self.destinations,
            )?;
            self.plans.push_within_capacity(Planned {
                plan: Plan {
                    segment,
                    source_page: 0,
                    destination_page,
                },
                operations: 0,
            })?;
        }
        pin_run(runs.finish(), &mut self.destinations)?;

        // Sources are pinned after destinations, because pinning a page for writing may replace it.
        // A segment may read data that an earlier one wrote.
        let mut runs = Runs::default();
        for Planned { plan, .. } in self.plans.iter_mut() {
            plan.source_page = add_and_pin(
                plan.segment.source,
                plan.segment.length,
                &mut runs,
                &mut self.sources,
            )?;
        }
        pin_run(runs.finish(), &mut self.sources)
    }

    /// Splits the segments into operations that stay within pages.
    fn build(&mut self) -> Result {
        self.operations.clear();
        for planned in self.plans.iter_mut() {
            planned.operations = planned.plan.split(
                |page| gfn::of_page(&self.sources, page),
                |page| gfn::of_page(&self.destinations, page),
                |operation| Ok(self.operations.push_within_capacity(operation)?),
            )?;
        }
        Ok(())
    }

    /// Writes the status of each segment to the program.
    fn report(&self, address: UserPtr) -> Result {
        let mut operations = self.operations.iter().map(|operation| operation.status);
        for (index, planned) in self.plans.iter().enumerate() {
            let status = segment_status(operations.by_ref().take(planned.operations));
            let offset = index * size_of::<gntdev_grant_copy_segment>()
                + offset_of!(gntdev_grant_copy_segment, status);
            user_memory::write(address.wrapping_byte_add(offset), &status)?;
        }
        Ok(())
    }
}

/// Adds the pages of a segment's `end` to `runs` if it is local, and pins the run that ends by
/// that. Returns the index that the first of the pages has, or is going to have, in `pages`.
fn add_and_pin(
    end: SegmentEnd,
    length: usize,
    runs: &mut Runs,
    pages: &mut PinnedPages,
) -> Result<usize> {
    match end {
        SegmentEnd::Local(address) if length != 0 => {
            let (index, ended) = runs.add(address, length)?;
            pin_run(ended, pages)?;
            Ok(index)
        }
        _ => Ok(0),
    }
}

fn pin_run(run: Option<Run>, pages: &mut PinnedPages) -> Result {
    match run {
        Some(run) => pages.pin(run.first << PAGE_SHIFT, run.count),
        None => Ok(()),
    }
}

/// `IOCTL_GNTDEV_GRANT_COPY`: copies segments and stores a status in each.
///
/// # Errors
///
/// `EFAULT` if the arguments, or the program's end of a segment, cannot be read or written;
/// `EINVAL` for a segment without a granted end, or with one that crosses the end of its page;
/// `EINTR` if the program is being killed; `ENOMEM`. The statuses are then undefined, and some
/// segments may have been copied.
pub(crate) fn grant_copy(pool: &BatchPool, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_grant_copy = user_memory::read(argument)?;
    copy_all(
        pool,
        UserPtr::from_ptr(request.segments.cast()),
        request.count as usize,
        ProgramAbi::Native,
    )
}

/// `IOCTL_GNTDEV_GRANT_COPY` of a 32-bit program.
///
/// # Errors
///
/// Those of [`grant_copy`].
#[cfg(CONFIG_COMPAT)]
pub(crate) fn grant_copy_compat(pool: &BatchPool, argument: UserPtr) -> Result {
    let request: crate::xen::gntdev::uapi::CompatGrantCopy = user_memory::read(argument)?;
    copy_all(
        pool,
        UserPtr::from_addr(request.segments as usize),
        request.count as usize,
        ProgramAbi::Compat,
    )
}

fn copy_all(pool: &BatchPool, segments: UserPtr, count: usize, abi: ProgramAbi) -> Result {
    let mut batch = pool.take()?;
    let result = copy_in_batches(&mut batch, segments, count, abi);
    pool.put(batch);
    result
}

fn copy_in_batches(batch: &mut Batch, segments: UserPtr, count: usize, abi: ProgramAbi) -> Result {
    for first in (0..count).step_by(BATCH) {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let address = segments.wrapping_byte_add(first * size_of::<gntdev_grant_copy_segment>());
        batch.copy(address, BATCH.min(count - first), abi)?;
        cond_resched();
    }
    Ok(())
}
