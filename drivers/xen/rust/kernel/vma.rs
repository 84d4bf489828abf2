// SPDX-License-Identifier: GPL-2.0

//! Operations and private data of a VMA.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h), `struct vm_operations_struct`.

use super::page_array::PageArray;
use crate::xen::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::to_result,
    mm::virt::{
        VmaNew,
        VmaRef, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// Owner of VMAs. A VMA holds a reference to it, and so does each VMA that is split off it or
/// copied from it in a fork.
pub(crate) trait VmaOwner: Send + Sync + Sized + 'static {
    /// Type of the array of pages, which the owner keeps as long as it lives.
    type Pages: PageArray;

    /// Returns the operations of VMAs of this owner. The address of the table identifies such VMAs,
    /// so it must always be the same.
    fn table() -> &'static VmaTable<Self>;

    /// Returns the pages for the file offsets from [`Self::first_page`] on, for page-table entries
    /// whose frame numbers do not lead to a `struct page`.
    fn pages(&self) -> Option<&Self::Pages>;

    /// Returns the file offset of the first page, in pages.
    fn first_page(&self) -> usize;

    /// Drops the reference of a VMA that is closed. Called with the mmap lock held.
    fn close(this: Arc<Self>) {
        drop(this);
    }
}

/// Owner that can make a missing page-table entry when it is needed.
pub(crate) trait FaultHandler: VmaOwner {
    /// Makes the entry for `fault`. On success the access is repeated, so that it is no error to
    /// have made none if the next attempt can do it. Called with the mmap lock held for reading.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; any other error is a bus error of the program.
    fn fault(&self, fault: &Fault<'_>) -> Result;
}

/// Access to an address of a VMA that has no page-table entry (C: `struct vm_fault`).
pub(crate) struct Fault<'a> {
    raw: &'a bindings::vm_fault,
}

impl Fault<'_> {
    /// Returns the VMA.
    pub(crate) fn vma(&self) -> &VmaRef {
        // SAFETY: The VMA of a fault is valid, and a lock of it is held while the fault is handled.
        unsafe { VmaRef::from_raw(self.raw.__bindgen_anon_1.vma) }
    }

    /// Returns the address of the page.
    pub(crate) fn address(&self) -> usize {
        self.raw.__bindgen_anon_1.address
    }

    /// Returns true if the access is a write.
    pub(crate) fn is_write(&self) -> bool {
        // SAFETY: The shim reads the structure.
        unsafe { bindings::xen_rust_fault_is_write(self.raw) }
    }
}

/// `struct vm_operations_struct` for VMAs whose private data is an `Arc<T>`.
pub(crate) struct VmaTable<T: VmaOwner> {
    operations: bindings::vm_operations_struct,
    owner: PhantomData<T>,
}

// SAFETY: The table is never written.
unsafe impl<T: VmaOwner> Sync for VmaTable<T> {}

impl<T: VmaOwner> VmaTable<T> {
    /// Makes the table, for a `static`. An access to an address without a page-table entry is a bus
    /// error.
    pub(crate) const fn new() -> Self {
        Self {
            operations: bindings::vm_operations_struct {
                open: Some(Self::open),
                close: Some(Self::close),
                find_normal_page: Some(Self::find_normal_page),
                ..pin_init::zeroed()
            },
            owner: PhantomData,
        }
    }

    /// # Safety
    ///
    /// `vma` must be a valid VMA that has these operations.
    unsafe fn owner<'a>(vma: *mut bindings::vm_area_struct) -> ArcBorrow<'a, T> {
        // SAFETY: Only `attach()` gives a VMA these operations, and it sets the private data to an
        // `Arc<T>` that the VMA holds until `close()`.
        unsafe { Arc::<T>::borrow((*vma).vm_private_data) }
    }

    /// # Safety
    ///
    /// `vma` must be a copy of a VMA that has these operations.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By this function's safety requirements. The original VMA keeps its reference
        // while it is copied.
        let owner: Arc<T> = unsafe { Self::owner(vma) }.into();
        // SAFETY: Nothing else can reach the new VMA yet.
        unsafe { (*vma).vm_private_data = owner.into_foreign() };
    }

    /// # Safety
    ///
    /// `vma` must be a VMA that has these operations, in its last use.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: `attach()` or `open()` gave the VMA this reference, and it is in its last use.
        T::close(unsafe { Arc::<T>::from_foreign((*vma).vm_private_data) });
    }

    /// Returns the page behind a page-table entry whose frame number does not lead to a
    /// `struct page`. Called with the lock of the page table held.
    ///
    /// There is none for callers that hold the mmap lock for writing. A lookup that takes a
    /// reference to the page holds it for reading. A writer that wants the page is about to write
    /// the entry, which the kernel may not do: a write of 1 or 3 to `/proc/PID/clear_refs` clears
    /// the accessed bit of each entry that has a page, and does not tell MMU notifiers.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that has these operations, and `address` be in it.
    unsafe extern "C" fn find_normal_page(
        vma: *mut bindings::vm_area_struct,
        address: usize,
    ) -> *mut bindings::page {
        // SAFETY: By this function's safety requirements.
        if unsafe { bindings::xen_rust_mmap_write_locked((*vma).vm_mm) } {
            return ptr::null_mut();
        }
        // SAFETY: By this function's safety requirements.
        let owner = unsafe { Self::owner(vma) };
        // SAFETY: By this function's safety requirements; these fields do not change during the
        // call, because the caller holds a lock of the VMA.
        let offset = unsafe { (*vma).vm_pgoff + ((address - vma_start(vma)) >> PAGE_SHIFT) };
        offset
            .checked_sub(owner.first_page())
            .and_then(|index| owner.pages()?.pages().get(index).copied())
            .unwrap_or(ptr::null_mut())
    }
}

impl<T: FaultHandler> VmaTable<T> {
    /// As [`Self::new`], with an owner that makes missing page-table entries.
    pub(crate) const fn with_faults() -> Self {
        let mut table = Self::new();
        table.operations.fault = Some(Self::fault);
        table
    }

    /// # Safety
    ///
    /// `fault` must be a fault in a VMA that has these operations.
    unsafe extern "C" fn fault(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By this function's safety requirements. Nothing writes to the structure during
        // the call.
        let raw = unsafe { &*fault };
        let fault = Fault { raw };
        // SAFETY: By this function's safety requirements. The VMA stays open during the call: a
        // lock of it is held.
        let owner = unsafe { Self::owner(fault.vma().as_ptr()) };
        match owner.fault(&fault) {
            Ok(()) => bindings::VM_FAULT_NOPAGE,
            Err(error) if error == ENOMEM => bindings::VM_FAULT_OOM,
            Err(_) => bindings::VM_FAULT_SIGBUS,
        }
    }
}

/// # Safety
///
/// `vma` must be a valid VMA whose lock, or the mmap lock, is held.
unsafe fn vma_start(vma: *mut bindings::vm_area_struct) -> usize {
    // SAFETY: By this function's safety requirements.
    unsafe { VmaRef::from_raw(vma) }.start()
}

/// Returns the file offset that `vma` begins at, in pages.
pub(crate) fn first_page(vma: &VmaNew) -> usize {
    // SAFETY: `vma` is valid, and being set up by this thread.
    unsafe { (*vma.as_ptr()).vm_pgoff }
}

/// Returns the number of pages of `vma`.
pub(crate) fn page_count(vma: &VmaNew) -> usize {
    (vma.end() - vma.start()) >> PAGE_SHIFT
}

/// Makes `owner` the owner of `vma`. Must be the last step of setting it up: the kernel does not
/// close a VMA whose setup fails after this.
pub(crate) fn attach<T: VmaOwner>(vma: &VmaNew, owner: Arc<T>) {
    let raw = vma.as_ptr();
    // SAFETY: `vma` is being set up by this thread. The table and the reference are those that
    // `VmaTable` expects of a VMA with these operations.
    unsafe {
        (*raw).vm_ops = &T::table().operations;
        (*raw).vm_private_data = owner.into_foreign();
    }
}

/// Returns the owner of `vma`, if it is a `T`.
pub(crate) fn owner<T: VmaOwner>(vma: &VmaRef) -> Option<ArcBorrow<'_, T>> {
    // SAFETY: `vma` is valid, and its operations do not change after its setup.
    let operations = unsafe { (*vma.as_ptr()).vm_ops };
    if !ptr::eq(operations, &T::table().operations) {
        return None;
    }
    // SAFETY: The VMA has the operations of `VmaTable<T>`, and the reference to the VMA proves that
    // the lock which keeps it open is held.
    Some(unsafe { VmaTable::<T>::owner(vma.as_ptr()) })
}

/// Maps all of `pages` at `vma`, which must have as many (C: `vm_map_pages_zero()`). May sleep.
/// Each page-table entry holds a reference to its page, so that the pages must have reference
/// counts of their own.
///
/// # Errors
///
/// `ENXIO` if the numbers differ; `ENOMEM`. Some pages may then have been mapped: the kernel unmaps
/// them when `mmap()` fails.
pub(crate) fn insert_pages(vma: &VmaNew, pages: &impl PageArray) -> Result {
    let pages = pages.pages();
    if page_count(vma) != pages.len() {
        return Err(ENXIO);
    }
    // SAFETY: `vma` is being set up, with the mmap lock held, and `pages` is an array of this
    // length of valid pages, to which the C function does not write. The references of the entries
    // keep the pages allocated.
    to_result(unsafe {
        bindings::vm_map_pages_zero(vma.as_ptr(), pages.as_ptr().cast_mut(), pages.len())
    })
}

/// Maps a part of `pages` at `vma`, from the file offset of `vma` on (C: `vm_map_pages()`). May
/// sleep. The page-table entries hold references, as with [`insert_pages`].
///
/// # Errors
///
/// `ENXIO` if the range is not within `pages`; `ENOMEM`. Some pages may then have been mapped: the
/// kernel unmaps them when `mmap()` fails.
pub(crate) fn insert_page_range(vma: &VmaNew, pages: &impl PageArray) -> Result {
    let pages = pages.pages();
    // SAFETY: `vma` is being set up, with the mmap lock held, and `pages` is an array of this
    // length of valid pages, to which the C function does not write.
    to_result(unsafe {
        bindings::vm_map_pages(vma.as_ptr(), pages.as_ptr().cast_mut(), pages.len())
    })
}
