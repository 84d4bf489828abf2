// SPDX-License-Identifier: GPL-2.0

//! A hypervisor for the tests.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    event_word::Port,
    kunit::words::{
        state,
        MASKED,
        WORDS, //
    },
    xen::{
        event::{
            hypervisor::Hypervisor,
            shared_page::{
                HandedOver,
                SharedPage, //
            },
        },
        kernel::per_cpu::PossibleCpu,
    },
};
use core::sync::atomic::Ordering::Relaxed;
use kernel::prelude::*;

/// Hypervisor that records its calls, and that refuses pages and writes words as a test says.
///
/// A new one accepts all pages and writes nothing.
#[derive(Default)]
pub(crate) struct FakeHypervisor<'a> {
    /// Number of pages that it still accepts; any number if `None`.
    pub(crate) accepts: Option<usize>,
    /// Number of pages that can still be allocated or taken; any number if `None`.
    pub(crate) memory: Option<usize>,
    /// Number of pages that were allocated or taken.
    pub(crate) allocated: usize,
    /// Number of pages that were put back.
    pub(crate) put_back: usize,
    /// Addresses of the pages of the event array that it accepted.
    pub(crate) array: KVec<usize>,
    /// Addresses of the pages of control blocks that it accepted.
    pub(crate) blocks: KVec<usize>,
    /// True once a page of the array had an unmasked word when it was handed over.
    pub(crate) saw_unmasked: bool,
    /// Index and value of the words that it writes into each page of the array.
    pub(crate) words: KVec<(usize, u32)>,
    /// Index and value of the words that it writes into each control block.
    pub(crate) block_words: KVec<(usize, u32)>,
    /// Array that another CPU grows, and the port that it needs, just before the next change of an
    /// array.
    pub(crate) rival: Option<(&'a EventArray, Port)>,
    /// Result of the other CPU.
    pub(crate) rival_result: Option<Result>,
    /// Array that a restore of the domain restarts just before the next change of an array.
    pub(crate) restored: Option<&'a EventArray>,
    /// Array that is searched for each of its pages while that is handed over.
    pub(crate) watched: Option<&'a EventArray>,
    /// True once a page was found in `watched` before the hypervisor had accepted it.
    pub(crate) found_early: bool,
    /// Port of the last unmask operation.
    pub(crate) unmasked: Option<u32>,
    /// Error for which the machine would have been stopped.
    pub(crate) stopped: Option<Error>,
}

impl FakeHypervisor<'_> {
    /// A hypervisor that refuses nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lifts the limits of pages and memory.
    pub(crate) fn refuse_none(&mut self) {
        self.accepts = None;
        self.memory = None;
    }
}

/// Takes one from what is left.
///
/// # Errors
///
/// `error` if nothing is left.
fn take_one(left: &mut Option<usize>, error: Error) -> Result {
    if let Some(count) = left {
        *count = count.checked_sub(1).ok_or(error)?;
    }
    Ok(())
}

/// Writes `words`, each an index and a value, into `page`.
fn write(page: &HandedOver<'_>, words: &[(usize, u32)]) {
    for (index, value) in words {
        if let Some(word) = page.get(*index) {
            word.store(*value, Relaxed);
        }
    }
}

impl Hypervisor for FakeHypervisor<'_> {
    fn new_page(&mut self) -> Result<SharedPage> {
        take_one(&mut self.memory, ENOMEM)?;
        self.allocated += 1;
        SharedPage::new()
    }

    fn take_page(&mut self) -> Option<SharedPage> {
        self.new_page().ok()
    }

    fn put_page(&mut self, _page: SharedPage) {
        self.put_back += 1;
    }

    fn init_control(&mut self, page: HandedOver<'_>, _cpu: PossibleCpu) -> Result {
        take_one(&mut self.accepts, ENOSPC)?;
        write(&page, &self.block_words);
        Ok(self.blocks.push(page.as_ptr() as usize, GFP_ATOMIC)?)
    }

    fn expand_array(&mut self, page: HandedOver<'_>) -> Result {
        take_one(&mut self.accepts, ENOSPC)?;
        self.saw_unmasked |= page.iter().any(|word| word.load(Relaxed) != MASKED);
        let first = (self.array.len() as u32 * WORDS).max(1);
        self.found_early |= self
            .watched
            .is_some_and(|array| state(array, first).is_some());
        write(&page, &self.words);
        Ok(self.array.push(page.as_ptr() as usize, GFP_ATOMIC)?)
    }

    fn unmask(&mut self, port: u32) {
        self.unmasked = Some(port);
    }

    fn stop_without_array(&mut self, error: Error) {
        self.stopped = Some(error);
    }

    fn alone<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        if let Some((array, port)) = self.rival.take() {
            self.rival_result = Some(array.grow(port, self));
        }
        if let Some(array) = self.restored.take() {
            array.restart();
        }
        change(self)
    }
}
