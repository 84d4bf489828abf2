// SPDX-License-Identifier: GPL-2.0

//! The ioctls that add a region to a file, remove it, find it by address, and set the actions when
//! it is unmapped.

#![forbid(unsafe_code)]

use crate::{
    limits,
    parameters::LIMIT,
    region::Region,
    region_index::RegionIndex,
    unmap_notify::Actions,
    xen::{
        event::channel::EventChannel,
        gntdev::uapi::{
            ioctl_gntdev_get_offset_for_vaddr,
            ioctl_gntdev_map_grant_ref,
            ioctl_gntdev_unmap_grant_ref,
            ioctl_gntdev_unmap_notify,
            UNMAP_NOTIFY_CLEAR_BYTE,
            UNMAP_NOTIFY_SEND_EVENT, //
        },
        kernel::{
            user_memory,
            vma, //
        },
    },
};
use core::mem::offset_of;
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    uaccess::UserPtr, //
};

/// `IOCTL_GNTDEV_MAP_GRANT_REF`: adds a region to the file, and returns the offset at which
/// `mmap()` maps it.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read or written, in which case there is no region; `EINVAL` for
/// a count of 0 or above the limit; `ENOMEM`.
pub(crate) fn map_grant_ref(regions: &RegionIndex<Region>, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_map_grant_ref = user_memory::read(argument)?;
    let count = limits::check_count(request.count, LIMIT.get())?;
    let refs = argument.wrapping_byte_add(offset_of!(ioctl_gntdev_map_grant_ref, refs));
    let region = Region::new(user_memory::read_array(refs, count)?)?;

    let first_page = regions.insert(region.clone(), count)?;
    let index = (first_page as u64) << PAGE_SHIFT;
    let answer = argument.wrapping_byte_add(offset_of!(ioctl_gntdev_map_grant_ref, index));
    user_memory::write(answer, &index).inspect_err(|_| {
        // The program does not know the offset, but another thread may have guessed it, removed the
        // region and added another one.
        regions.remove_region(first_page, &region);
    })
}

/// `IOCTL_GNTDEV_UNMAP_GRANT_REF`: removes a region from the file. Existing mappings of it stay.
///
/// As in the C driver a count of 0 matches a region of any count, and the offset within a page is
/// ignored.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read; `ENOENT` if the file has no such region.
pub(crate) fn unmap_grant_ref(regions: &RegionIndex<Region>, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_unmap_grant_ref = user_memory::read(argument)?;
    let first_page = (request.index >> PAGE_SHIFT) as usize;
    let count = (request.count != 0).then_some(request.count as usize);
    regions.remove(first_page, count).map(drop).ok_or(ENOENT)
}

/// `IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR`: returns offset and count of the region that is mapped at an
/// address of the calling process. The region may be one of another file.
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
        // The count was a 32-bit number when the region was added.
        request.count = region.page_count() as u32;
    }
    user_memory::write(argument, &request)
}

/// `IOCTL_GNTDEV_SET_UNMAP_NOTIFY`: sets the actions when a region is unmapped, and replaces those
/// set before.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read; `EINVAL` for an unknown action, for an event channel
/// that is not open, and for clearing a byte of a region that is mapped read-only; `ENOENT` if no
/// region of the file has the index.
pub(crate) fn set_unmap_notify(regions: &RegionIndex<Region>, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_unmap_notify = user_memory::read(argument)?;
    if request.action & !(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT) != 0 {
        return Err(EINVAL);
    }
    // Taken before the former reference is dropped, which may be the last one to the same channel.
    let send_event = (request.action & UNMAP_NOTIFY_SEND_EVENT != 0)
        .then(|| EventChannel::get(request.event_channel_port))
        .transpose()?;

    let index = usize::try_from(request.index).map_err(|_| ENOENT)?;
    let (first_page, region) = regions.get_containing(index >> PAGE_SHIFT).ok_or(ENOENT)?;
    let clear_byte = (request.action & UNMAP_NOTIFY_CLEAR_BYTE != 0)
        .then_some(index - (first_page << PAGE_SHIFT));
    if clear_byte.is_some() && region.is_mapped_read_only() {
        return Err(EINVAL);
    }

    region.notify().set(Actions {
        clear_byte,
        send_event,
    });
    Ok(())
}
