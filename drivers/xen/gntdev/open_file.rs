// SPDX-License-Identifier: GPL-2.0

//! An open file of the device, and where its system calls go.

#![forbid(unsafe_code)]

use crate::{
    dmabuf_export,
    dmabuf_import::{
        self,
        Imports, //
    },
    dmabuf_wait::{
        self,
        Exports, //
    },
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
        misc_device::{
            PollDevice,
            Readiness, //
        },
        vma, //
    },
};
use kernel::{
    fs::{
        File,
        Kiocb, //
    },
    iov::IovIterDest,
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
    sync::{
        poll::PollTable,
        Arc, //
    },
    uaccess::UserPtr, //
};

/// An open file of `/dev/xen/gntdev`.
#[pin_data]
pub(crate) struct OpenFile {
    #[pin]
    regions: RegionIndex<Region>,
    #[pin]
    batches: BatchPool,
    exports: Arc<Exports>,
    #[pin]
    imports: Imports,
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

    /// The dma-bufs that were made of grants.
    pub(crate) fn exports(&self) -> &Arc<Exports> {
        &self.exports
    }

    /// The dma-bufs whose pages are granted.
    pub(crate) fn imports(&self) -> &Imports {
        &self.imports
    }
}

#[vtable]
impl MiscDevice for OpenFile {
    type Ptr = Pin<KBox<Self>>;

    fn open(_: &File, _: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        let exports = Exports::new()?;
        KBox::pin_init(
            pin_init!(Self {
                regions <- RegionIndex::new(),
                batches <- BatchPool::new(),
                exports,
                imports <- Imports::new(),
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
            bindings::IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS => {
                dmabuf_export::export_from_refs(&file, argument)
            }
            bindings::IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2 => {
                dmabuf_export::export_from_refs_v2(&file, argument)
            }
            bindings::IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED => {
                dmabuf_wait::wait_released(&file, argument)
            }
            bindings::IOCTL_GNTDEV_DMABUF_IMP_TO_REFS => {
                dmabuf_import::import_to_refs(&file, argument)
            }
            bindings::IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2 => {
                dmabuf_import::import_to_refs_v2(&file, argument)
            }
            bindings::IOCTL_GNTDEV_DMABUF_IMP_RELEASE => {
                dmabuf_import::import_release(&file, argument)
            }
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
        file.exports.show(seq);
        file.imports.show(seq);
    }

    fn read_iter(
        control: Kiocb<'_, Self::Ptr>,
        destination: &mut IovIterDest<'_>,
    ) -> Result<usize> {
        control.file().exports.read(destination)
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

impl PollDevice for OpenFile {
    fn poll(device: Pin<&Self>, file: &File, table: PollTable<'_>) -> Readiness {
        device.exports.poll(file, table)
    }
}
