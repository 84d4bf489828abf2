// SPDX-License-Identifier: GPL-2.0

//! The ioctl that copies between a program's memory and granted pages, or between these.
//!
//! Segments are handled in batches. All of a batch's user pages are pinned first, runs of adjacent
//! ones together; then one hypercall copies all segments of the batch. The arrays for that belong
//! to the open file and are used again.

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

/// How many segments one hypercall copies at most.
const BATCH: usize = 256;

/// How many pages the local end of a segment can touch: the other end is within one page, so it is
/// no longer than that.
const PAGES_PER_SEGMENT: usize = 2;

/// Arrays for batches, of callers that are done. As many as there were callers at the same time.
#[pin_data]
pub(crate) struct BatchPool {
    /// Not held while a batch is used.
    #[pin]
    unused: Mutex<BatchList>,
}

impl BatchPool {
    /// A pool without arrays.
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

/// A list through [`Batch::next`]: putting a batch back can not fail.
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
        // One by one: as a list, each would be dropped inside of the one before it, and the stack
        // ends some time.
        while self.pop().is_some() {}
    }
}

/// The arrays for one batch.
struct Batch {
    /// As the program passed them.
    segments: KVVec<gntdev_grant_copy_segment>,
    plans: KVVec<Planned>,
    operations: KVVec<gnttab_copy>,
    sources: PinnedPages,
    destinations: PinnedPages,
    next: Option<KBox<Batch>>,
}

/// How one segment is copied.
#[derive(Clone, Copy)]
struct Planned {
    plan: Plan,
    /// How many operations it takes.
    operations: usize,
}

impl Batch {
    fn new() -> Result<KBox<Self>> {
        let pages = BATCH * PAGES_PER_SEGMENT;
        Ok(KBox::new(
            Self {
                segments: KVVec::with_capacity(BATCH, GFP_KERNEL)?,
                plans: KVVec::with_capacity(BATCH, GFP_KERNEL)?,
                operations: KVVec::with_capacity(pages, GFP_KERNEL)?,
                sources: PinnedPages::with_capacity(pages, PinFor::Reading)?,
                destinations: PinnedPages::with_capacity(pages, PinFor::Writing)?,
                next: None,
            },
            GFP_KERNEL,
        )?)
    }

    /// Copies `count` segments, which the program has at `address`.
    fn copy(&mut self, address: UserPtr, count: usize) -> Result {
        user_memory::read_into(address, count, &mut self.segments)?;
        let result = self.pin().and_then(|()| self.build());
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
    fn pin(&mut self) -> Result {
        self.plans.clear();
        let mut runs = Runs::default();
        for raw in &self.segments {
            let segment = CopySegment::from_user(raw);
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

        // Only now, because pinning for writing may put another page in the place of the one that
        // was there. What one segment writes, a later one may read.
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

    /// Tells the program the status of each segment.
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

/// `IOCTL_GNTDEV_GRANT_COPY`: copies segments and notes in each how that went.
///
/// # Errors
///
/// `EFAULT` if the arguments, or the program's end of a segment, cannot be read or written;
/// `EINVAL` for a segment without a granted page, or that does not end within it; `EINTR` if the
/// program is being killed; `ENOMEM`. The statuses mean nothing then, and some segments may have
/// been copied.
pub(crate) fn grant_copy(pool: &BatchPool, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_grant_copy = user_memory::read(argument)?;
    let mut batch = pool.take()?;
    let result = copy_all(
        &mut batch,
        UserPtr::from_ptr(request.segments.cast()),
        request.count as usize,
    );
    pool.put(batch);
    result
}

fn copy_all(batch: &mut Batch, segments: UserPtr, count: usize) -> Result {
    for first in (0..count).step_by(BATCH) {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        let address = segments.wrapping_byte_add(first * size_of::<gntdev_grant_copy_segment>());
        batch.copy(address, BATCH.min(count - first))?;
        cond_resched();
    }
    Ok(())
}
