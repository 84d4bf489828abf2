// SPDX-License-Identifier: GPL-2.0

//! An open file of the device, and where its system calls go.

#![forbid(unsafe_code)]

use crate::{
    map_grant,
    region::Region,
    region_index::RegionIndex,
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
    prelude::*,
    uaccess::UserPtr, //
};

/// An open file of `/dev/xen/gntdev`.
#[pin_data]
pub(crate) struct OpenFile {
    #[pin]
    regions: RegionIndex<Region>,
}

impl OpenFile {
    /// The regions that can be mapped.
    pub(crate) fn regions(&self) -> &RegionIndex<Region> {
        &self.regions
    }
}

#[vtable]
impl MiscDevice for OpenFile {
    type Ptr = Pin<KBox<Self>>;

    fn open(_: &File, _: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        KBox::pin_init(
            pin_init!(Self {
                regions <- RegionIndex::new(),
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
            _ => Err(ENOTTY),
        }
        .map(|()| 0)
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
