// SPDX-License-Identifier: GPL-2.0

//! The ioctls that add a region to a file, remove it, and find it by address.

#![forbid(unsafe_code)]

use crate::{
    limits,
    open_file::OpenFile,
    region::Region,
    xen::{
        bindings::{
            ioctl_gntdev_get_offset_for_vaddr,
            ioctl_gntdev_map_grant_ref,
            ioctl_gntdev_unmap_grant_ref, //
        },
        user_memory,
        vma, //
    },
    LIMIT,
};
use core::mem::offset_of;
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    uaccess::UserPtr, //
};

/// `IOCTL_GNTDEV_MAP_GRANT_REF`: adds a region to the file. `mmap()` at the offset that the program
/// gets maps it.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read or written, and then there is no region; `EINVAL` for a
/// count of 0 or above the limit; `ENOMEM`.
pub(crate) fn map_grant_ref(file: &OpenFile, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_map_grant_ref = user_memory::read(argument)?;
    let count = limits::check_count(request.count, LIMIT.get())?;
    let refs = argument.wrapping_byte_add(offset_of!(ioctl_gntdev_map_grant_ref, refs));
    let region = Region::new(user_memory::read_array(refs, count)?)?;

    let first_page = file.regions().insert(region.clone(), count)?;
    let index = (first_page as u64) << PAGE_SHIFT;
    let answer = argument.wrapping_byte_add(offset_of!(ioctl_gntdev_map_grant_ref, index));
    user_memory::write(answer, &index).inspect_err(|_| {
        // The program does not know the offset, but another thread may have guessed it, removed
        // the region and added another one.
        file.regions().remove_region(first_page, &region);
    })
}

/// `IOCTL_GNTDEV_UNMAP_GRANT_REF`: removes a region from the file. Where it is mapped it stays so.
///
/// As in the C driver a count of 0 stands for whatever count the region has, and the offset within
/// a page does not matter.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read; `ENOENT` if the file has no such region.
pub(crate) fn unmap_grant_ref(file: &OpenFile, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_unmap_grant_ref = user_memory::read(argument)?;
    let first_page = (request.index >> PAGE_SHIFT) as usize;
    let count = (request.count != 0).then_some(request.count as usize);
    file.regions()
        .remove(first_page, count)
        .map(drop)
        .ok_or(ENOENT)
}

/// `IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR`: finds offset and count of the region that is mapped at an
/// address of the calling process, whatever file it is of.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read or written; `EINVAL` if no region is mapped at the
/// address. (The C driver takes the next mapping above for an address between mappings.)
pub(crate) fn get_offset_for_vaddr(argument: UserPtr) -> Result {
    let mut request: ioctl_gntdev_get_offset_for_vaddr = user_memory::read(argument)?;
    let address = usize::try_from(request.vaddr).map_err(|_| EINVAL)?;
    {
        let task = current!();
        let mm = task.mm().ok_or(EINVAL)?.mmap_read_lock();
        let vma = mm.vma_lookup(address).ok_or(EINVAL)?;
        let region = vma::owner::<Region>(vma).ok_or(EINVAL)?;
        request.offset = (vma::VmaOwner::first_page(&*region) as u64) << PAGE_SHIFT;
        // A count came in as 32 bits.
        request.count = region.page_count() as u32;
    }
    user_memory::write(argument, &request)
}
