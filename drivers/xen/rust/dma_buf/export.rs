// SPDX-License-Identifier: GPL-2.0

//! A dma-buf over frames that grants are mapped at.
//!
//! The framework calls `map_dma_buf`, `unmap_dma_buf`, `vmap` and `vunmap` with the buffer's
//! reservation lock held, and the other operations without it.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h).

use super::{
    device_mapping::DeviceMapping,
    kernel_view::KernelView, //
};
use crate::xen::{
    bindings,
    grant::{
        frames::Frames,
        mapping::{
            GrantMapping,
            MappedFrames, //
        },
    },
    kernel::{
        dma_direction::Direction,
        module, //
    },
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    device::Device,
    error::{
        from_err_ptr,
        from_result, //
    },
    fs::File,
    mm::virt::VmaNew,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SetOnce, //
    }, //
};

/// What exports dma-bufs, and knows more of each.
pub(crate) trait Exporter: Send + Sync + Sized + 'static {
    /// Dropped when the grants of a buffer have been unmapped and its frames given back.
    type End: Send + Sync + 'static;

    /// The operations of buffers of this exporter.
    fn operations() -> &'static DmaBufOps<Self>;

    /// Maps a part of `buffer` at the VMA of `mapping`, whose file offset says which. Called with
    /// the mmap lock held for writing; the range is within the buffer. The VMA holds the buffer.
    fn map_at(buffer: &Arc<Buffer<Self>>, mapping: NewMapping<'_>) -> Result;
}

/// What a dma-buf is made of. The dma-buf, as long as it lives, holds a reference.
///
/// Its grants stay mapped as long as it lives: nobody else has the mapping.
pub(crate) struct Buffer<T: Exporter> {
    /// The first field: the exporter learns of the end before the grants are unmapped.
    exporter: T,
    name: CString,
    /// Below the size of a page.
    data_offset: usize,
    mapping: GrantMapping<T::End>,
}

impl<T: Exporter> Buffer<T> {
    /// A buffer of all frames of `mapping`, which is shown by `name`. Devices see it from the byte
    /// at `data_offset` of the first frame on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `data_offset` is not below the size of a page; `ENOMEM`.
    pub(crate) fn new(
        mapping: GrantMapping<T::End>,
        data_offset: usize,
        name: CString,
        exporter: T,
    ) -> Result<Arc<Self>> {
        if data_offset >= PAGE_SIZE {
            return Err(EINVAL);
        }
        let buffer = Self {
            exporter,
            name,
            data_offset,
            mapping,
        };
        Ok(Arc::new(buffer, GFP_KERNEL)?)
    }

    /// What the exporter knows of it.
    pub(crate) fn exporter(&self) -> &T {
        &self.exporter
    }

    /// The frames, with grants mapped at all of them.
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.mapping.frames()
    }
}

/// A VMA over a dma-buf that is being set up. The file that it is of is the buffer's, so that the
/// frames stay as long as the VMA, or a copy or part of it, does.
pub(crate) struct NewMapping<'a> {
    vma: &'a VmaNew,
    frames: &'a MappedFrames,
}

impl NewMapping<'_> {
    /// The VMA.
    pub(crate) fn vma(&self) -> &VmaNew {
        self.vma
    }

    /// Maps the frames that the VMA's file offset says. May sleep. Not in paravirtual domains.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn insert(self) -> Result {
        self.frames.insert_range_at(self.vma)
    }
}

/// A dma-buf that no file descriptor stands for yet. Dropping it releases it, soon.
///
/// # Invariants
///
/// `buffer` is a dma-buf, of which we own a reference.
pub(crate) struct DmaBuf {
    buffer: NonNull<bindings::dma_buf>,
}

impl DmaBuf {
    /// Makes a dma-buf of `buffer` (C: `dma_buf_export()`). May sleep. It holds the module.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of making a file.
    pub(crate) fn new<T: Exporter>(buffer: Arc<Buffer<T>>) -> Result<Self> {
        let shared = KBox::pin_init(Shared::new(buffer), GFP_KERNEL)?;
        let frames = shared.buffer.frames();
        let information = bindings::dma_buf_export_info {
            // The name is used as long as the buffer is listed, which ends before its release.
            exp_name: shared.buffer.name.as_char_ptr(),
            owner: module::this_module(),
            ops: T::operations().for_frames(frames),
            size: frames.len() * PAGE_SIZE,
            flags: bindings::O_RDWR as c_int,
            resv: ptr::null_mut(),
            priv_: (&raw const *shared).cast_mut().cast(),
        };
        // SAFETY: The operations expect a `Shared<T>` as private data, which stays at its address
        // until `release()`.
        let buffer = from_err_ptr(unsafe { bindings::dma_buf_export(&information) })?;
        // SAFETY: Nothing moves it: it is only taken back to be dropped.
        let _ = KBox::into_raw(unsafe { Pin::into_inner_unchecked(shared) });
        // INVARIANT: We own the first reference.
        Ok(Self {
            buffer: NonNull::new(buffer).ok_or(ENOMEM)?,
        })
    }

    /// The file of the buffer, with our reference.
    pub(crate) fn into_file(self) -> ARef<File> {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariants, the buffer is valid.
        let file = unsafe { (*this.buffer.as_ptr()).file };
        // SAFETY: A buffer has a file, and a reference to one is that to the other. Nobody is
        // using the file position: no file descriptor has been given out.
        unsafe { ARef::from_raw(NonNull::new_unchecked(file.cast())) }
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the reference is ours.
        unsafe { bindings::dma_buf_put(self.buffer.as_ptr()) };
    }
}

/// The private data of a buffer.
#[pin_data]
struct Shared<T: Exporter> {
    /// The devices that the buffer is attached to. The reservation lock is not held when this one
    /// is taken; [`DeviceAttachment::users`] is taken inside of it.
    #[pin]
    attachments: Mutex<KVec<Arc<DeviceAttachment>>>,
    /// Where the kernel has the frames one after the other, if anybody asked for it. Taken inside
    /// of the reservation lock.
    #[pin]
    view: Mutex<Option<KernelView>>,
    /// The last field, because the others refer to its frames.
    buffer: Arc<Buffer<T>>,
}

impl<T: Exporter> Shared<T> {
    fn new(buffer: Arc<Buffer<T>>) -> impl PinInit<Self> {
        pin_init!(Self {
            attachments <- new_mutex!(KVec::new(), "DmaBuf::attachments"),
            view <- new_mutex!(None, "DmaBuf::view"),
            buffer,
        })
    }

    /// Calls `f` for each device that has the buffer mapped at this moment. The others have no part
    /// in it: what a bounce buffer of theirs has is old.
    fn for_each_mapping(&self, f: impl Fn(&DeviceMapping)) {
        for attachment in self.attachments.lock().iter() {
            let users = attachment.users.lock();
            if let Some(mapping) = attachment.mapping.as_ref().filter(|_| *users != 0) {
                f(mapping);
            }
        }
    }
}

/// A device that a buffer is attached to.
#[pin_data]
struct DeviceAttachment {
    device: ARef<Device>,
    /// Made when the device maps the buffer first, and kept until it detaches.
    mapping: SetOnce<DeviceMapping>,
    /// How often the device has it mapped.
    #[pin]
    users: Mutex<usize>,
}

impl DeviceAttachment {
    /// Maps `shared`'s frames for the device, unless that was done before. Called with the
    /// reservation lock held, so for one caller at a time.
    ///
    /// # Errors
    ///
    /// `EBUSY` if they are mapped in another direction; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The attachment must be one of the buffer of `shared`.
    unsafe fn map<T: Exporter>(
        &self,
        shared: &Shared<T>,
        direction: Direction,
    ) -> Result<&DeviceMapping> {
        let mut users = self.users.lock();
        if let Some(mapping) = self.mapping.as_ref() {
            if mapping.direction() != direction {
                return Err(EBUSY);
            }
            if *users == 0 {
                // What CPUs wrote since, those of the granter too.
                mapping.sync_for_device(Direction::Bidirectional);
            }
            *users += 1;
            return Ok(mapping);
        }
        let buffer = &shared.buffer;
        // SAFETY: The grants stay mapped as long as the `Buffer` lives, which the dma-buf holds; a
        // dma-buf lives as long as something is attached to it.
        let mapping = unsafe {
            DeviceMapping::new(
                buffer.frames(),
                buffer.data_offset,
                self.device.clone(),
                direction,
            )
        }?;
        // Cannot be populated yet: `users` is locked.
        self.mapping.populate(mapping);
        *users += 1;
        self.mapping.as_ref().ok_or(EBUSY)
    }

    /// Undoes one [`Self::map`], but keeps the mapping.
    ///
    /// What the device wrote gets to the CPU if that is all that the mapping was for. Otherwise the
    /// memory may have newer data than a bounce buffer, because the granter writes when it likes:
    /// only somebody who asks for what the device wrote, by `begin_cpu_access`, gets it.
    fn unmap(&self) {
        let mut users = self.users.lock();
        *users = users.saturating_sub(1);
        if *users == 0 {
            let mapping = self.mapping.as_ref();
            if let Some(mapping) = mapping.filter(|m| m.direction() == Direction::FromDevice) {
                mapping.sync_for_cpu(Direction::FromDevice);
            }
        }
    }
}

/// `struct dma_buf_ops` for buffers whose private data is a `Shared<T>`.
pub(crate) struct DmaBufOps<T: Exporter> {
    /// For buffers that the kernel can have at adjacent addresses.
    with_view: bindings::dma_buf_ops,
    /// For those that it cannot. The framework takes it for a fault of the exporter if the
    /// operation is there and fails.
    without_view: bindings::dma_buf_ops,
    exporter: PhantomData<T>,
}

// SAFETY: The tables are never written.
unsafe impl<T: Exporter> Sync for DmaBufOps<T> {}

impl<T: Exporter> DmaBufOps<T> {
    /// Makes the tables, for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            with_view: bindings::dma_buf_ops {
                vmap: Some(Self::vmap),
                vunmap: Some(Self::vunmap),
                ..Self::without_view()
            },
            without_view: Self::without_view(),
            exporter: PhantomData,
        }
    }

    const fn without_view() -> bindings::dma_buf_ops {
        bindings::dma_buf_ops {
            attach: Some(Self::attach),
            detach: Some(Self::detach),
            map_dma_buf: Some(Self::map_dma_buf),
            unmap_dma_buf: Some(Self::unmap_dma_buf),
            release: Some(Self::release),
            begin_cpu_access: Some(Self::begin_cpu_access),
            end_cpu_access: Some(Self::end_cpu_access),
            mmap: Some(Self::mmap),
            ..pin_init::zeroed()
        }
    }

    /// The operations of a buffer of `frames`.
    fn for_frames(&'static self, frames: &Frames) -> *const bindings::dma_buf_ops {
        if KernelView::is_possible(frames) {
            &self.with_view
        } else {
            &self.without_view
        }
    }

    /// # Safety
    ///
    /// `buffer` must be a valid buffer that has these operations.
    unsafe fn shared<'a>(buffer: *mut bindings::dma_buf) -> &'a Shared<T> {
        // SAFETY: Only `DmaBuf::new()` makes buffers with these operations, and their private data
        // is a `Shared<T>` until `release()`.
        unsafe { &*(*buffer).priv_.cast::<Shared<T>>() }
    }

    /// # Safety
    ///
    /// `raw` must be an attachment to a buffer that has these operations, after `attach()`.
    unsafe fn attachment<'a>(raw: *mut bindings::dma_buf_attachment) -> &'a DeviceAttachment {
        // SAFETY: `attach()` set the private data to an `Arc<DeviceAttachment>`, which is there
        // until `detach()`.
        unsafe { &*(*raw).priv_.cast::<DeviceAttachment>() }
    }

    /// # Safety
    ///
    /// `raw` must be a new attachment to `buffer`, which must have these operations.
    unsafe extern "C" fn attach(
        buffer: *mut bindings::dma_buf,
        raw: *mut bindings::dma_buf_attachment,
    ) -> c_int {
        // SAFETY: By this function's safety requirements.
        let shared = unsafe { Self::shared(buffer) };
        from_result(|| {
            // SAFETY: An attachment has a device, which whoever attaches it holds.
            let device: &Device = unsafe { Device::from_raw((*raw).dev) };
            let attachment = Arc::pin_init(
                pin_init!(DeviceAttachment {
                    device: device.into(),
                    mapping: SetOnce::new(),
                    users <- new_mutex!(0, "DmaBuf::users"),
                }),
                GFP_KERNEL,
            )?;
            shared
                .attachments
                .lock()
                .push(attachment.clone(), GFP_KERNEL)?;
            // SAFETY: The private data is the exporter's.
            unsafe { (*raw).priv_ = Arc::into_raw(attachment).cast_mut().cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `raw` must be an attachment to `buffer` in its last use; `buffer` must have these
    /// operations.
    unsafe extern "C" fn detach(
        buffer: *mut bindings::dma_buf,
        raw: *mut bindings::dma_buf_attachment,
    ) {
        // SAFETY: By this function's safety requirements.
        let shared = unsafe { Self::shared(buffer) };
        // SAFETY: `attach()` made it of an `Arc`, and nobody uses it after this.
        let attachment = unsafe { Arc::from_raw((*raw).priv_.cast::<DeviceAttachment>()) };
        shared
            .attachments
            .lock()
            .retain(|other| !Arc::ptr_eq(other, &attachment));
        // The last reference: this unmaps the frames, outside of the lock.
        drop(attachment);
    }

    /// # Safety
    ///
    /// `raw` must be an attachment to a buffer that has these operations.
    unsafe extern "C" fn map_dma_buf(
        raw: *mut bindings::dma_buf_attachment,
        direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        // SAFETY: By this function's safety requirements.
        let (shared, attachment) = unsafe { (Self::shared((*raw).dmabuf), Self::attachment(raw)) };
        let mapped = Direction::from_raw(direction).and_then(|direction| {
            // SAFETY: By this function's safety requirements.
            unsafe { attachment.map(shared, direction) }
        });
        match mapped {
            // The importer does not change the list, and gives it back before it detaches.
            Ok(mapping) => mapping.as_raw(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// `raw` must be an attachment to a buffer that has these operations.
    unsafe extern "C" fn unmap_dma_buf(
        raw: *mut bindings::dma_buf_attachment,
        _list: *mut bindings::sg_table,
        _direction: bindings::dma_data_direction,
    ) {
        // SAFETY: By this function's safety requirements.
        unsafe { Self::attachment(raw) }.unmap();
    }

    /// # Safety
    ///
    /// `buffer` must be a buffer with these operations, in its last use.
    unsafe extern "C" fn release(buffer: *mut bindings::dma_buf) {
        // SAFETY: `DmaBuf::new()` made it of a box, and nobody uses it after this.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw((*buffer).priv_.cast::<Shared<T>>())) });
    }

    /// # Safety
    ///
    /// `buffer` must be a valid buffer that has these operations.
    unsafe extern "C" fn begin_cpu_access(
        buffer: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By this function's safety requirements.
        let shared = unsafe { Self::shared(buffer) };
        from_result(|| {
            let access = Direction::from_raw(direction)?;
            shared.for_each_mapping(|mapping| mapping.sync_for_cpu(access));
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `buffer` must be a valid buffer that has these operations.
    unsafe extern "C" fn end_cpu_access(
        buffer: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By this function's safety requirements.
        let shared = unsafe { Self::shared(buffer) };
        from_result(|| {
            let access = Direction::from_raw(direction)?;
            shared.for_each_mapping(|mapping| mapping.sync_for_device(access));
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `buffer` must be a valid buffer that has these operations, and `vma` one of its file that is
    /// being set up.
    unsafe extern "C" fn mmap(
        buffer: *mut bindings::dma_buf,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By this function's safety requirements.
        let (shared, vma) = unsafe { (Self::shared(buffer), VmaNew::from_raw(vma)) };
        let mapping = NewMapping {
            vma,
            frames: shared.buffer.frames(),
        };
        from_result(|| T::map_at(&shared.buffer, mapping).map(|()| 0))
    }

    /// # Safety
    ///
    /// `buffer` must be a valid buffer that has these operations, and `map` be writable.
    unsafe extern "C" fn vmap(
        buffer: *mut bindings::dma_buf,
        map: *mut bindings::iosys_map,
    ) -> c_int {
        // SAFETY: By this function's safety requirements.
        let shared = unsafe { Self::shared(buffer) };
        from_result(|| {
            // SAFETY: The frames stay as long as the `Buffer` lives, and the view is dropped
            // before it. The framework has it dropped earlier, by `vunmap()`.
            let view = unsafe { KernelView::new(shared.buffer.frames()) }?;
            let address = view.address().as_ptr();
            *shared.view.lock() = Some(view);
            // SAFETY: By this function's safety requirements.
            unsafe {
                map.write(bindings::iosys_map {
                    __bindgen_anon_1: bindings::iosys_map__bindgen_ty_1 { vaddr: address },
                    is_iomem: false,
                })
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `buffer` must be a valid buffer that has these operations.
    unsafe extern "C" fn vunmap(buffer: *mut bindings::dma_buf, _map: *mut bindings::iosys_map) {
        // SAFETY: By this function's safety requirements.
        let view = unsafe { Self::shared(buffer) }.view.lock().take();
        drop(view);
    }
}
