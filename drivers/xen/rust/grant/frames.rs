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

    /// The number of frames.
    pub(crate) fn len(&self) -> usize {
        self.pages().len()
    }

    /// The page at `index`, or `None` past the end. It lives as long as `self`.
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

    /// Maps frames at the pages of `vma`, whose file offset says which is the first (C:
    /// `vm_map_pages()`, `dma_mmap_attrs()`). May sleep. Not in paravirtual domains.
    ///
    /// Where frames are for DMA the page-table entries hold no references to them: the frames must
    /// stay as long as the VMA, or a copy or part of it, does.
    ///
    /// # Errors
    ///
    /// `ENXIO` if the range is not within the frames, `ENOMEM`. Some pages may have been mapped
    /// then: they are unmapped when setting up the VMA fails.
    pub(in crate::xen) fn insert_range_at(&self, vma: &VmaNew) -> Result {
        match self {
            Self::Unpopulated(pages) => vma::insert_page_range(vma, pages),
            Self::Dma(memory) => memory.map_at(vma),
        }
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

    /// The address at which the kernel has the first frame, if it has the others right after it.
    pub(crate) fn contiguous_address(&self) -> Option<NonNull<c_void>> {
        match self {
            Self::Dma(memory) => Some(memory.address()),
            Self::Unpopulated(_) => {
                NonNull::new(self.contiguous_linear_address()? as usize as *mut c_void)
            }
        }
    }

    /// The kernel's linear address of the first frame, if the others follow it there in order.
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

// SAFETY: The pages of either kind are valid, and the array does not change.
unsafe impl PageArray for Frames {
    fn pages(&self) -> &[*mut bindings::page] {
        match self {
            Self::Unpopulated(pages) => pages.pages(),
            Self::Dma(memory) => memory.pages(),
        }
    }
}
