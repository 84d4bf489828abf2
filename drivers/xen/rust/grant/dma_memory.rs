// SPDX-License-Identifier: GPL-2.0

//! Frames allocated for DMA whose memory was given to the hypervisor, so that grants can be mapped
//! at them.
//!
//! They are for devices that are not coherent with the caches of the CPU: for these the DMA API
//! maps its memory in the kernel and in processes with other attributes than ordinary memory. For a
//! coherent device it uses the same attributes, so that any other frames are as good. A domain with
//! a device that is not coherent is auto-translated: paravirtual domains exist only on x86, all
//! devices of which are coherent.
//!
//! The C counterpart is `gnttab_dma_alloc_pages()`, which only kernels with
//! `CONFIG_XEN_GRANT_DMA_ALLOC` have.
//!
//! C headers: `include/xen/mem-reservation.h`,
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h).

use super::{
    failing_call,
    gfn::XEN_PAGE_SIZE, //
};
use crate::xen::{
    bindings,
    kernel::{
        faux_device::FauxDevice,
        page_array::PageArray, //
    },
    totals::Total,
};
use core::{
    mem::{
        self,
        ManuallyDrop, //
    },
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::to_result,
    mm::virt::VmaNew,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// Caching of memory that CPU and device share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Writes may be combined before they reach the memory (C: `dma_alloc_wc()`).
    WriteCombine,
    /// CPU and device see each other's writes at once (C: `dma_alloc_coherent()`).
    Coherent,
}

impl Caching {
    const fn attributes(self) -> c_ulong {
        match self {
            Caching::WriteCombine => bindings::DMA_ATTR_WRITE_COMBINE as c_ulong,
            Caching::Coherent => 0,
        }
    }
}

/// Frames of one allocation, contiguous in physical addresses of the kernel, without memory of
/// their own. Dropping it gets memory back from the hypervisor and frees it; may sleep.
///
/// # Invariants
///
/// `pages` are the pages of `allocation`, in order, and `frames` has as many elements. The memory
/// of all of them was given to the hypervisor.
pub(crate) struct DmaMemory {
    pages: KVVec<*mut bindings::page>,
    /// Room for the frame numbers when memory is populated again, so that this allocates nothing.
    frames: KVVec<bindings::xen_pfn_t>,
    allocation: ManuallyDrop<Allocation>,
}

// SAFETY: A `struct page` is not bound to a thread, and neither is an allocation.
unsafe impl Send for DmaMemory {}
// SAFETY: All methods that take `&self` only read.
unsafe impl Sync for DmaMemory {}

impl DmaMemory {
    /// Allocates `count` frames for DMA by `device` and gives their memory to the hypervisor. May
    /// sleep. Auto-translated domains only.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no range of that size is free: the limit is that of the page allocator, unless
    /// the kernel has a contiguous memory area (CMA); `EFAULT` if the hypervisor does not take the
    /// memory.
    pub(crate) fn new(count: usize, caching: Caching, device: Arc<FauxDevice>) -> Result<Self> {
        i32::try_from(count).map_err(|_| ENOMEM)?;
        let allocation = Allocation::new(count, caching, device)?;
        let mut pages = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        let mut frames = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        for index in 0..count {
            let page = allocation.page(index);
            pages.push_within_capacity(page)?;
            // SAFETY: The page is one of the allocation.
            let frame = unsafe { bindings::xen_rust_page_gfn(page) };
            frames.push_within_capacity(frame as bindings::xen_pfn_t)?;
        }
        // SAFETY: `pages` is an array of `count` valid pages that this function owns.
        to_result(unsafe {
            bindings::gnttab_pages_set_private(count as c_int, pages.as_mut_ptr())
        })
        .inspect_err(|_| clear_private(&mut pages))?;

        // SAFETY: `frames` is an array of `count` frames that this function owns, and nothing uses
        // their memory.
        let given = unsafe {
            failing_call::xenmem_reservation_decrease(count as c_int, frames.as_mut_ptr())
        };
        let given = usize::try_from(given).unwrap_or(0).min(count);
        if given < count {
            // Frames from index `given` on still have their old memory.
            clear_private(&mut pages);
            if populate(&pages, &mut frames, given).is_err() {
                allocation.leak();
            }
            return Err(EFAULT);
        }

        // INVARIANT: The array was filled from the allocation, and the hypervisor took all frames.
        Ok(Self {
            pages,
            frames,
            allocation: ManuallyDrop::new(allocation),
        })
    }

    /// Returns the kernel address of the first frame, with the requested caching. There is memory
    /// at it only while a grant is mapped at the frame.
    pub(super) fn address(&self) -> NonNull<c_void> {
        self.allocation.address
    }

    /// Maps the frames at `vma` from its file offset on, with the requested caching (C:
    /// `dma_mmap_attrs()`). May sleep.
    ///
    /// The page-table entries hold no references: the frames must stay as long as the VMA, or a
    /// copy or part of it.
    ///
    /// # Errors
    ///
    /// `ENXIO` if the range is not within the frames; `ENOMEM`.
    pub(super) fn map_at(&self, vma: &VmaNew) -> Result {
        self.allocation.map_at(vma)
    }

    /// Leaks the frames, because memory of another domain is still mapped at some of them.
    pub(super) fn lose(self) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so that this is the last use of the allocation.
        unsafe { ManuallyDrop::take(&mut this.allocation) }.leak();
        drop(mem::replace(&mut this.pages, KVVec::new()));
        drop(mem::replace(&mut this.frames, KVVec::new()));
    }
}

// SAFETY: By the type invariants, the pages are those of the allocation, in the order of their
// addresses, and the array does not change.
unsafe impl PageArray for DmaMemory {
    fn pages(&self) -> &[*mut bindings::page] {
        &self.pages
    }
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        clear_private(&mut self.pages);
        let count = self.pages.len();
        // SAFETY: `allocation` is not used after this.
        let allocation = unsafe { ManuallyDrop::take(&mut self.allocation) };
        if populate(&self.pages, &mut self.frames, count).is_err() {
            allocation.leak();
        }
    }
}

/// Clears the private data of `pages`, which the grant table functions set on pages that grants are
/// mapped at.
///
/// These functions clear the flag only, and leave the number of the last grant. The page allocator
/// of series 7.3 does not take a block of pages back that has any.
fn clear_private(pages: &mut KVVec<*mut bindings::page>) {
    // SAFETY: All callers pass an array of valid pages that they own, as many as fit in an `int`.
    unsafe { bindings::gnttab_pages_clear_private(pages.len() as c_int, pages.as_mut_ptr()) };
    for page in pages.iter() {
        // SAFETY: As above; nothing else uses the private data of a page that is about to be freed.
        unsafe { bindings::xen_rust_clear_page_private(*page) };
    }
}

/// Populates the first `count` of `pages` with memory of the hypervisor. May sleep, allocates
/// nothing.
///
/// # Errors
///
/// `ENOMEM` if the hypervisor has no memory. Some of the pages then have none: they must never be
/// used again.
fn populate(
    pages: &[*mut bindings::page],
    frames: &mut [bindings::xen_pfn_t],
    count: usize,
) -> Result {
    for (frame, page) in frames.iter_mut().zip(pages).take(count) {
        // SAFETY: The page is valid.
        let address = unsafe { bindings::xen_rust_page_physical(*page) };
        *frame = (address / XEN_PAGE_SIZE as u64) as bindings::xen_pfn_t;
    }
    // SAFETY: `frames` is an array of at least `count` elements; the number fits in an `int`,
    // because it did when the pages were allocated.
    let populated =
        unsafe { failing_call::xenmem_reservation_increase(count as c_int, frames.as_mut_ptr()) };
    if usize::try_from(populated) != Ok(count) {
        pr_err!("Xen gave {populated} of {count} pages back: all of them are lost\n");
        return Err(ENOMEM);
    }
    Ok(())
}

/// Memory that the DMA API allocated for a device.
///
/// # Invariants
///
/// `address` and `handle` are those of `size` bytes that `dma_alloc_attrs()` allocated for `device`
/// with the attributes of `caching`, and that have not been freed. The pages have a `struct page`
/// each.
struct Allocation {
    address: NonNull<c_void>,
    size: usize,
    device: Arc<FauxDevice>,
    handle: bindings::dma_addr_t,
    caching: Caching,
}

impl Allocation {
    fn new(count: usize, caching: Caching, device: Arc<FauxDevice>) -> Result<Self> {
        let size = count.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let mut handle = 0;
        // SAFETY: The device is valid, and `handle` can be written.
        let address = unsafe {
            bindings::dma_alloc_attrs(
                device.as_raw(),
                size,
                &mut handle,
                bindings::GFP_KERNEL | bindings::__GFP_NOWARN,
                caching.attributes(),
            )
        };
        // INVARIANT: The DMA API just returned it.
        Ok(Self {
            address: NonNull::new(address).ok_or(ENOMEM)?,
            size,
            device,
            handle,
            caching,
        })
    }

    /// Returns the page at `index`, which must be below the number of pages.
    fn page(&self, index: usize) -> *mut bindings::page {
        let address = self.address.as_ptr().wrapping_byte_add(index * PAGE_SIZE);
        // SAFETY: By the type invariants, there is a `struct page` for the address.
        unsafe { bindings::xen_rust_address_to_page(address) }
    }

    fn map_at(&self, vma: &VmaNew) -> Result {
        // SAFETY: By the type invariants, the DMA API allocated the memory, with these values.
        // `vma` is being set up, with the mmap lock held.
        to_result(unsafe {
            bindings::dma_mmap_attrs(
                self.device.as_raw(),
                vma.as_ptr(),
                self.address.as_ptr(),
                self.handle,
                self.size,
                self.caching.attributes(),
            )
        })
    }

    /// Leaks the memory, because some of its pages are not populated. The device is released all
    /// the same: it must not outlive the module.
    fn leak(self) {
        let this = ManuallyDrop::new(self);
        Total::LostFrames.add(this.size / PAGE_SIZE);
        // SAFETY: `this` is never dropped, so that this is the last use of the reference.
        drop(unsafe { ptr::read(&this.device) });
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the DMA API allocated the memory, with these values.
        unsafe {
            bindings::dma_free_attrs(
                self.device.as_raw(),
                self.size,
                self.address.as_ptr(),
                self.handle,
                self.caching.attributes(),
            )
        };
    }
}
