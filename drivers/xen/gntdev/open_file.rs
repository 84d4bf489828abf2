// SPDX-License-Identifier: GPL-2.0

//! An open file of the device, and where its system calls go.

#![forbid(unsafe_code)]

use crate::{
    grant_copy::{
        self,
        BatchPool, //
    },
    map_grant,
    region::Region,
    region_index::RegionIndex,
    unmap_notify,
    xen::{
        bindings,
        vma, //
    },
};
use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    uaccess::UserPtr, //
};

/// An open file of `/dev/xen/gntdev`.
#[pin_data]
pub(crate) struct OpenFile {
    #[pin]
    regions: RegionIndex<Region>,
    #[pin]
    batches: BatchPool,
}

impl OpenFile {
    /// The regions that can be mapped.
    pub(crate) fn regions(&self) -> &RegionIndex<Region> {
        &self.regions
    }

    /// The arrays for grant copies.
    pub(crate) fn batches(&self) -> &BatchPool {
        &self.batches
    }
}

#[vtable]
impl MiscDevice for OpenFile {
    type Ptr = Pin<KBox<Self>>;

    fn open(_: &File, _: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        KBox::pin_init(
            pin_init!(Self {
                regions <- RegionIndex::new(),
                batches <- BatchPool::new(),
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(file: Pin<&Self>, _: &File, command: u32, argument: usize) -> Result<isize> {
        let argument = UserPtr::from_addr(argument);
        match command {
            bindings::IOCTL_GNTDEV_MAP_GRANT_REF => map_grant::map_grant_ref(&file, argument),
            bindings::IOCTL_GNTDEV_UNMAP_GRANT_REF => map_grant::unmap_grant_ref(&file, argument),
            bindings::IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR => {
                map_grant::get_offset_for_vaddr(argument)
            }
            bindings::IOCTL_GNTDEV_SET_UNMAP_NOTIFY => {
                unmap_notify::set_unmap_notify(&file, argument)
            }
            bindings::IOCTL_GNTDEV_GRANT_COPY => grant_copy::grant_copy(&file, argument),
            _ => Err(ENOTTY),
        }
        .map(|()| 0)
    }

    fn show_fdinfo(file: Pin<&Self>, seq: &SeqFile, _: &File) {
        let mut next = 0;
        // Region by region, because showing one takes a lock that sleeps.
        while let Some((first_page, region)) = file.regions.next_from(next) {
            seq_print!(seq, "region:\t{:#x} ", first_page << PAGE_SHIFT);
            region.show(seq);
            next = first_page + region.page_count();
        }
    }

    fn mmap(file: Pin<&Self>, _: &File, vma: &VmaNew) -> Result {
        if vma.writable() && vma.flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        file.regions
            .get(vma::first_page(vma), Some(vma::page_count(vma)))
            .ok_or(EINVAL)?
            .map(vma)
    }
}
