// SPDX-License-Identifier: GPL-2.0

//! An open file of the device, and the dispatch of its system calls.

#![forbid(unsafe_code)]

use crate::{
    dma_buf_export,
    dma_buf_import::{
        self,
        Imports, //
    },
    dma_buf_wait::{
        self,
        Exports, //
    },
    grant_copy::{
        self,
        BatchPool, //
    },
    region::Region,
    region_index::RegionIndex,
    region_ioctl,
    xen::{
        gntdev::uapi,
        kernel::{
            misc_device::{
                PollDevice,
                Readiness, //
            },
            vma, //
        },
        totals::{
            Held,
            Total, //
        },
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

/// Open file of `/dev/xen/gntdev`. Each ioctl gets the field that it works on.
#[pin_data]
pub(crate) struct OpenFile {
    /// Regions that can be mapped.
    #[pin]
    regions: RegionIndex<Region>,
    /// Arrays for grant copies.
    #[pin]
    batches: BatchPool,
    /// dma-bufs that grants were exported as.
    exports: Arc<Exports>,
    /// dma-bufs whose pages are granted.
    #[pin]
    imports: Imports,
    _count: Held,
}

impl OpenFile {
    /// Executes the ioctl `command` of a program whose structures have the layout of the kernel.
    fn request(&self, command: u32, argument: UserPtr) -> Result {
        match command {
            uapi::IOCTL_GNTDEV_MAP_GRANT_REF => {
                region_ioctl::map_grant_ref(&self.regions, argument)
            }
            uapi::IOCTL_GNTDEV_UNMAP_GRANT_REF => {
                region_ioctl::unmap_grant_ref(&self.regions, argument)
            }
            uapi::IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR => region_ioctl::get_offset_for_vaddr(argument),
            uapi::IOCTL_GNTDEV_SET_UNMAP_NOTIFY => {
                region_ioctl::set_unmap_notify(&self.regions, argument)
            }
            uapi::IOCTL_GNTDEV_GRANT_COPY => grant_copy::grant_copy(&self.batches, argument),
            uapi::IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS => {
                dma_buf_export::export_from_refs(&self.exports, argument)
            }
            uapi::IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS_V2 => {
                dma_buf_export::export_from_refs_v2(&self.exports, argument)
            }
            uapi::IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED => {
                dma_buf_wait::wait_released(&self.exports, argument)
            }
            uapi::IOCTL_GNTDEV_DMABUF_IMP_TO_REFS => {
                dma_buf_import::import_to_refs(&self.imports, argument)
            }
            uapi::IOCTL_GNTDEV_DMABUF_IMP_TO_REFS_V2 => {
                dma_buf_import::import_to_refs_v2(&self.imports, argument)
            }
            uapi::IOCTL_GNTDEV_DMABUF_IMP_RELEASE => {
                dma_buf_import::import_release(&self.imports, argument)
            }
            _ => Err(ENOTTY),
        }
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
                _count: Total::OpenFiles.hold(1),
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(file: Pin<&Self>, _: &File, command: u32, argument: usize) -> Result<isize> {
        file.request(command, UserPtr::from_addr(argument))
            .map(|()| 0)
    }

    /// Executes an ioctl of a 32-bit program. All structures have the layout of the kernel, except
    /// for the one with a pointer in it.
    #[cfg(CONFIG_COMPAT)]
    fn compat_ioctl(file: Pin<&Self>, _: &File, command: u32, argument: usize) -> Result<isize> {
        let argument = UserPtr::from_addr(argument as u32 as usize);
        match command {
            uapi::IOCTL_GNTDEV_GRANT_COPY_COMPAT => {
                grant_copy::grant_copy_compat(&file.batches, argument)
            }
            uapi::IOCTL_GNTDEV_GRANT_COPY => Err(ENOTTY),
            _ => file.request(command, argument),
        }
        .map(|()| 0)
    }

    fn show_fdinfo(file: Pin<&Self>, seq: &SeqFile, _: &File) {
        let mut next = 0;
        // Region by region, because showing one takes a sleeping lock.
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
        let region = file
            .regions
            .get(vma::first_page(vma), Some(vma::page_count(vma)))
            .ok_or(EINVAL)?;
        Region::map(region, vma)
    }
}

impl PollDevice for OpenFile {
    fn poll(device: Pin<&Self>, file: &File, table: PollTable<'_>) -> Readiness {
        device.exports.poll(file, table)
    }
}
