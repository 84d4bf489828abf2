// SPDX-License-Identifier: GPL-2.0

//! Frames that grants are mapped at, of whatever kind.

use super::{
    bindings,
    dma_memory::DmaMemory,
    pages::UnpopulatedPages, //
};
use kernel::page::PAGE_SIZE;

/// Frames with a `struct page` and a kernel address, but without memory under them as long as no
/// grant is mapped at them. Dropping it gives them back; may sleep.
pub(crate) enum Frames {
    /// Any frames.
    Unpopulated(UnpopulatedPages),
    /// Frames that devices can use in a way of their own.
    Dma(DmaMemory),
}

impl From<UnpopulatedPages> for Frames {
    fn from(pages: UnpopulatedPages) -> Self {
        Self::Unpopulated(pages)
    }
}

impl From<DmaMemory> for Frames {
    fn from(memory: DmaMemory) -> Self {
        Self::Dma(memory)
    }
}

impl Frames {
    /// Gives the frames up for good, because memory of another domain is still mapped at some of
    /// them: whoever got them next would share it. May sleep.
    pub(super) fn lose(self) {
        match self {
            Self::Unpopulated(pages) => pages.lose(),
            Self::Dma(memory) => memory.lose(),
        }
    }

    /// The pages. They live as long as `self`.
    pub(super) fn pages(&self) -> &[*mut bindings::page] {
        match self {
            Self::Unpopulated(pages) => pages.pages(),
            Self::Dma(memory) => memory.pages(),
        }
    }

    /// The number of frames.
    pub(crate) fn len(&self) -> usize {
        self.pages().len()
    }

    /// The page at `index`, or `None` past the end. It lives as long as `self`.
    pub(super) fn get(&self, index: usize) -> Option<*mut bindings::page> {
        self.pages().get(index).copied()
    }

    /// The kernel's linear address of each frame.
    pub(super) fn linear_addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.pages().iter().map(|page| {
            // SAFETY: All pages of frames are valid.
            unsafe { bindings::xen_rust_page_address(*page) as u64 }
        })
    }

    /// The guest physical address of each frame.
    pub(super) fn physical_addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.pages().iter().map(|page| {
            // SAFETY: All pages of frames are valid.
            unsafe { bindings::xen_rust_page_physical(*page) }
        })
    }

    /// The kernel's linear address of the first frame, if the others follow it there in order.
    pub(super) fn contiguous_address(&self) -> Option<u64> {
        let mut addresses = self.linear_addresses();
        let first = addresses.next()?;
        let mut expected = first;
        addresses
            .all(|address| {
                expected += PAGE_SIZE as u64;
                address == expected
            })
            .then_some(first)
    }

    /// The linear address of the byte at `offset` from the start of the first frame, or `None` past
    /// the end. There is only memory at it while something is mapped at the frame.
    pub(super) fn byte(&self, offset: usize) -> Option<*mut u8> {
        let page = self.get(offset / PAGE_SIZE)?;
        // SAFETY: All pages of frames are valid.
        let address = unsafe { bindings::xen_rust_page_address(page) };
        Some((address + offset % PAGE_SIZE) as *mut u8)
    }

    /// Returns whether nothing but `self` refers to the frame at `index`; not past the end.
    ///
    /// A page-table entry of a process, a pin or I/O under way each hold a reference. While there
    /// is one the grant must stay mapped, or what uses the frame would reach nothing.
    pub(super) fn is_unreferenced(&self, index: usize) -> bool {
        self.get(index).is_some_and(|page| {
            // SAFETY: All pages of frames are valid.
            unsafe { bindings::xen_rust_page_count(page) <= 1 }
        })
    }
}
