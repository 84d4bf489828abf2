// SPDX-License-Identifier: GPL-2.0

//! Index of the regions of a file by offset.
//!
//! All offsets are in pages. They identify regions in `mmap()`, and have no relation to memory. A
//! maple tree finds a region, and the lowest free range for a new one, in logarithmic time.

#![forbid(unsafe_code)]

use crate::xen::kernel::maple_tree::SharedMapleTree;
use kernel::{
    new_mutex,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Last offset that `mmap()` can name: offsets in bytes are signed 64-bit numbers.
const LAST_PAGE: usize = (i64::MAX as usize) >> PAGE_SHIFT;

/// Range of the index.
struct Entry<T> {
    first_page: usize,
    page_count: usize,
    /// `None` if the region has been removed, but the range could not be freed.
    region: Option<Arc<T>>,
}

/// Regions of an open file, by offset.
#[pin_data]
pub(crate) struct RegionIndex<T: 'static> {
    /// Makes a lookup and the removal of the found entry atomic. Not held for anything else.
    #[pin]
    lock: Mutex<()>,
    #[pin]
    tree: SharedMapleTree<KBox<Entry<T>>>,
}

impl<T> RegionIndex<T> {
    /// Makes an index without regions.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- new_mutex!((), "RegionIndex::lock"),
            tree <- SharedMapleTree::new(),
        })
    }

    /// Adds `region` at the lowest free range of `page_count` pages, and returns its first page.
    /// The first region of a file is at 0. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if no free range is long enough; `EINVAL` if `page_count` is 0.
    pub(crate) fn insert(&self, region: Arc<T>, page_count: usize) -> Result<usize> {
        let entry = KBox::new(
            Entry {
                first_page: 0,
                page_count,
                region: Some(region),
            },
            GFP_KERNEL,
        )?;

        let _guard = self.lock.lock();
        let first_page = self
            .tree
            .alloc_range(page_count, entry, ..=LAST_PAGE, GFP_KERNEL)
            .map_err(|error| match error.cause.into() {
                EBUSY => ENOMEM,
                other => other,
            })?;
        if let Some(entry) = self.tree.lock().load(first_page) {
            entry.first_page = first_page;
        }
        Ok(first_page)
    }

    /// Returns the region that begins at `first_page` and has `page_count` pages, or any number of
    /// them if that is `None`.
    pub(crate) fn get(&self, first_page: usize, page_count: Option<usize>) -> Option<Arc<T>> {
        let _guard = self.lock.lock();
        self.find(first_page, page_count)
    }

    /// Returns the region that contains `page`, and its first page.
    pub(crate) fn get_containing(&self, page: usize) -> Option<(usize, Arc<T>)> {
        let _guard = self.lock.lock();
        let mut tree = self.tree.lock();
        let entry = tree.load(page)?;
        Some((entry.first_page, entry.region.clone()?))
    }

    /// Returns the first region that begins at or after `page`, and its first page.
    pub(crate) fn next_from(&self, page: usize) -> Option<(usize, Arc<T>)> {
        let _guard = self.lock.lock();
        let mut tree = self.tree.lock();
        let mut state = tree.ma_state(page, page);
        while let Some(entry) = state.find(LAST_PAGE) {
            // The lookup also finds a region that begins before `page`.
            let region = entry.region.as_ref().filter(|_| entry.first_page >= page);
            if let Some(region) = region {
                return Some((entry.first_page, region.clone()));
            }
        }
        None
    }

    /// Removes the region that [`Self::get`] would return. May sleep.
    pub(crate) fn remove(&self, first_page: usize, page_count: Option<usize>) -> Option<Arc<T>> {
        self.remove_if(first_page, page_count, |_| true)
    }

    /// Removes `region` if it is still at `first_page`. May sleep.
    pub(crate) fn remove_region(&self, first_page: usize, region: &Arc<T>) -> Option<Arc<T>> {
        self.remove_if(first_page, None, |found| Arc::ptr_eq(found, region))
    }

    fn remove_if(
        &self,
        first_page: usize,
        page_count: Option<usize>,
        condition: impl FnOnce(&Arc<T>) -> bool,
    ) -> Option<Arc<T>> {
        let _guard = self.lock.lock();
        let region = self.vacate(first_page, page_count, condition)?;
        // Without memory the range stays in the index, without a region, until the index is
        // dropped. This is not an error: there are more offsets than regions.
        let _ = self.tree.erase(first_page);
        Some(region)
    }

    /// Takes the region that [`Self::get`] would return, if it meets `condition`, and leaves its
    /// range empty. This part of a removal cannot fail.
    pub(crate) fn vacate(
        &self,
        first_page: usize,
        page_count: Option<usize>,
        condition: impl FnOnce(&Arc<T>) -> bool,
    ) -> Option<Arc<T>> {
        let mut tree = self.tree.lock();
        tree.load(first_page)?
            .region_at(first_page, page_count)?
            .take_if(|region| condition(region))
    }

    fn find(&self, first_page: usize, page_count: Option<usize>) -> Option<Arc<T>> {
        let mut tree = self.tree.lock();
        tree.load(first_page)?
            .region_at(first_page, page_count)?
            .clone()
    }
}

impl<T> Entry<T> {
    /// Returns the region, if the range begins at `first_page` and has `page_count` pages, or any
    /// number of them if that is `None`.
    fn region_at(
        &mut self,
        first_page: usize,
        page_count: Option<usize>,
    ) -> Option<&mut Option<Arc<T>>> {
        let found =
            self.first_page == first_page && page_count.is_none_or(|n| n == self.page_count);
        found.then_some(&mut self.region)
    }
}
