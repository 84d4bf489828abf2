// SPDX-License-Identifier: GPL-2.0

//! Frames that grants are mapped at, of either kind.

use super::{
    dma_memory::DmaMemory,
    unpopulated_pages::UnpopulatedPages, //
};
use crate::xen::{
    bindings,
    kernel::{
        page_array::PageArray,
        vma, //
    },
};
use core::ptr::NonNull;
use kernel::{
    mm::virt::VmaNew,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Frames with a `struct page` and a kernel address, but without memory as long as no grant is
/// mapped at them. Dropping it frees them; may sleep.
pub(crate) enum Frames {
    /// Frames of the kernel's pool of unpopulated pages.
    Unpopulated(UnpopulatedPages),
    /// Frames that devices can access by DMA, with a caching of their own.
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
    /// Leaks the frames, because memory of another domain is still mapped at some of them: the next
    /// user would share it. May sleep.
    pub(super) fn lose(self) {
        match self {
            Self::Unpopulated(pages) => pages.lose(),
            Self::Dma(memory) => memory.lose(),
        }
    }

    /// Returns the number of frames.
    pub(crate) fn len(&self) -> usize {
        self.pages().len()
    }

    /// Returns the page at `index`, or `None` past the end. It lives as long as `self`.
    fn get(&self, index: usize) -> Option<*mut bindings::page> {
        self.pages().get(index).copied()
    }

    /// Maps all frames at the pages of `vma`, which must have as many. May sleep. Each page-table
    /// entry holds a reference to its frame.
    ///
    /// # Errors
    ///
    /// `EINVAL` for frames for DMA, which have no reference counts of their own; those of
    /// [`vma::insert_pages`].
    pub(super) fn insert_at(&self, vma: &VmaNew) -> Result {
        match self {
            Self::Unpopulated(pages) => vma::insert_pages(vma, pages),
            Self::Dma(_) => Err(EINVAL),
        }
    }

    /// Maps frames at the pages of `vma`, from its file offset on (C: `vm_map_pages()`,
    /// `dma_mmap_attrs()`). May sleep. Not in paravirtual domains.
    ///
    /// Page-table entries hold no references to frames for DMA: these must stay as long as the VMA,
    /// or a copy or part of it.
    ///
    /// # Errors
    ///
    /// `ENXIO` if the range is not within the frames; `ENOMEM`. Some pages may then have been
    /// mapped: the kernel unmaps them when `mmap()` fails.
    pub(in crate::xen) fn insert_range_at(&self, vma: &VmaNew) -> Result {
        match self {
            Self::Unpopulated(pages) => vma::insert_page_range(vma, pages),
            Self::Dma(memory) => memory.map_at(vma),
        }
    }

    /// Returns the linear address of each frame.
    pub(super) fn linear_addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.pages().iter().map(|page| {
            // SAFETY: All pages of frames are valid.
            unsafe { bindings::xen_rust_page_address(*page) as u64 }
        })
    }

    /// Returns the guest physical address of each frame.
    pub(super) fn physical_addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.pages().iter().map(|page| {
            // SAFETY: All pages of frames are valid.
            unsafe { bindings::xen_rust_page_physical(*page) }
        })
    }

    /// Returns the kernel address of the first frame, if the others follow it in order.
    pub(crate) fn contiguous_address(&self) -> Option<NonNull<c_void>> {
        match self {
            Self::Dma(memory) => Some(memory.address()),
            Self::Unpopulated(_) => {
                NonNull::new(self.contiguous_linear_address()? as usize as *mut c_void)
            }
        }
    }

    /// Returns the linear address of the first frame, if the others follow it in order.
    fn contiguous_linear_address(&self) -> Option<u64> {
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

    /// Returns the linear address of the byte at `offset` from the start of the first frame, or
    /// `None` past the end. There is memory at it only while a grant is mapped at the frame.
    pub(super) fn byte(&self, offset: usize) -> Option<*mut u8> {
        let page = self.get(offset / PAGE_SIZE)?;
        // SAFETY: All pages of frames are valid.
        let address = unsafe { bindings::xen_rust_page_address(page) };
        Some((address + offset % PAGE_SIZE) as *mut u8)
    }

    /// Returns true if nothing but `self` refers to the frame at `index`; false past the end.
    ///
    /// A page-table entry of a process, a pin and I/O in progress each hold a reference. While
    /// there is one the grant must stay mapped: its user would access a frame without memory.
    pub(super) fn is_unreferenced(&self, index: usize) -> bool {
        self.get(index).is_some_and(|page| {
            // SAFETY: All pages of frames are valid.
            unsafe { bindings::xen_rust_page_count(page) <= 1 }
        })
    }
}

// SAFETY: The pages of either kind are valid, and the array does not change.
unsafe impl PageArray for Frames {
    fn pages(&self) -> &[*mut bindings::page] {
        match self {
            Self::Unpopulated(pages) => pages.pages(),
            Self::Dma(memory) => memory.pages(),
        }
    }
}
