// SPDX-License-Identifier: GPL-2.0

//! dma-bufs over frames that grants are mapped at.
//!
//! The framework calls `map_dma_buf`, `unmap_dma_buf` and `vmap` with the buffer's reservation lock
//! held, and the other operations without it.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h).

use super::{
    device_mapping::DeviceMapping,
    kernel_view::KernelView, //
};
use crate::xen::{
    bindings,
    grant::{
        mapping::{
            GrantMapping,
            MappedFrames, //
        },
        operation::GrantReference, //
    },
    kernel::{
        dma_direction::Direction,
        module, //
    },
    totals::{
        Held,
        Total, //
    },
};
use core::{
    marker::PhantomData,
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
    device::Device,
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    fs::file::FileDescriptorReservation,
    mm::virt::VmaNew,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    types::ForeignOwnable, //
};

/// Exporter of dma-bufs, with its state for each of them.
pub(crate) trait Exporter: Send + Sync + Sized + 'static {
    /// Type of the value that is dropped after the grants of a buffer have been unmapped and its
    /// frames freed.
    type End: Send + Sync + 'static;

    /// Returns the operations of buffers of this exporter.
    fn operations() -> &'static DmaBufOps<Self>;

    /// Returns the grants of the buffer, in the order of its frames.
    fn grants(&self) -> impl ExactSizeIterator<Item = Result<GrantReference>> + '_;

    /// Maps a part of `buffer` at the VMA of `mapping`, from its file offset on. Called with the
    /// mmap lock held for writing; the range is within the buffer. The VMA holds a reference to the
    /// buffer.
    fn map_at(buffer: &Arc<Buffer<Self>>, mapping: NewMapping<'_>) -> Result;
}

/// Contents of a dma-buf, which holds a reference as long as it lives.
///
/// The grants stay mapped as long as it lives: only the buffer owns the mapping.
pub(crate) struct Buffer<T: Exporter> {
    /// The first field: it is dropped before the grants are unmapped.
    exporter: T,
    name: CString,
    /// Offset of the data in the first page, in bytes; less than the size of a page.
    data_offset: usize,
    _count: Held,
    mapping: GrantMapping<T::End>,
}

impl<T: Exporter> Buffer<T> {
    /// Makes a buffer of all frames of `mapping` with the name `name`. Devices see it from the byte
    /// at `data_offset` of the first frame on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `data_offset` is not less than the size of a page; `ENOMEM`.
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
            _count: Total::Exports.hold(1),
            mapping,
        };
        Ok(Arc::new(buffer, GFP_KERNEL)?)
    }

    /// Returns the state of the exporter.
    pub(crate) fn exporter(&self) -> &T {
        &self.exporter
    }

    /// Returns the frames, with grants mapped at all of them.
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.mapping.frames()
    }
}

/// VMA of the file of a dma-buf, while it is being set up. The file holds a reference to the
/// buffer, so that the frames stay as long as the VMA, or a copy or part of it.
pub(crate) struct NewMapping<'a> {
    vma: &'a VmaNew,
    frames: &'a MappedFrames,
}

impl NewMapping<'_> {
    /// Returns the VMA.
    pub(crate) fn vma(&self) -> &VmaNew {
        self.vma
    }

    /// Maps the frames from the file offset of the VMA on. May sleep. Not in paravirtual domains.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn insert(self) -> Result {
        self.frames.insert_range_at(self.vma)
    }
}

/// dma-buf without a file descriptor. Dropping it releases the buffer, possibly after it returns.
///
/// # Invariants
///
/// `buffer` is a dma-buf, to which this value owns a reference.
pub(crate) struct DmaBuf {
    buffer: NonNull<bindings::dma_buf>,
}

impl DmaBuf {
    /// Makes a dma-buf of `buffer` (C: `dma_buf_export()`). May sleep. The dma-buf holds a
    /// reference to the module.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of creating a file.
    pub(crate) fn new<T: Exporter>(buffer: Arc<Buffer<T>>) -> Result<Self> {
        let shared = KBox::pin_init(Shared::new(buffer), GFP_KERNEL)?;
        let frames = shared.buffer.frames();
        let mut information = bindings::dma_buf_export_info {
            // The name is used as long as the buffer is listed, which ends before its release.
            exp_name: shared.buffer.name.as_char_ptr(),
            owner: module::this_module(),
            ops: &raw const T::operations().table,
            size: frames.len() * PAGE_SIZE,
            flags: bindings::O_RDWR as c_int,
            resv: ptr::null_mut(),
            priv_: ptr::null_mut(),
        };
        information.priv_ = shared.into_foreign();
        // SAFETY: The operations expect a `Shared<T>` as private data, which stays at its address
        // until `release()`.
        let result = from_err_ptr(unsafe { bindings::dma_buf_export(&information) });
        let buffer = result.inspect_err(|_| {
            // SAFETY: `into_foreign()` returned the pointer, and no buffer has it.
            drop(unsafe { Pin::<KBox<Shared<T>>>::from_foreign(information.priv_) });
        })?;
        // INVARIANT: The function returned the first reference.
        Ok(Self {
            buffer: NonNull::new(buffer).ok_or(ENOMEM)?,
        })
    }

    /// Installs the file of the buffer as `descriptor` (C: `dma_buf_fd_install()`).
    pub(crate) fn install(self, descriptor: FileDescriptorReservation) {
        let this = ManuallyDrop::new(self);
        let number = descriptor.reserved_fd();
        mem::forget(descriptor);
        // SAFETY: By the type invariants, the buffer is valid, and `this`, which is never dropped,
        // passes its reference to the file table. This thread reserved the number, and the
        // reservation, which is never dropped either, is used once.
        unsafe { bindings::dma_buf_fd_install(this.buffer.as_ptr(), number as c_int) };
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, `self` owns the reference.
        unsafe { bindings::dma_buf_put(self.buffer.as_ptr()) };
    }
}

/// Private data of a buffer.
#[pin_data]
struct Shared<T: Exporter> {
    /// Mappings that devices have now. Taken with and without the reservation lock held, which is
    /// never taken inside of it.
    #[pin]
    mappings: Mutex<KVec<DeviceMapping>>,
    /// Contiguous mapping of the frames in the kernel, after the first `vmap()`. Kept until the
    /// buffer is released, because the driver of a graphics card asks for it with each frame that
    /// it shows.
    view: SetOnce<KernelView>,
    /// The last field, because the others refer to its frames.
    buffer: Arc<Buffer<T>>,
}

impl<T: Exporter> Shared<T> {
    fn new(buffer: Arc<Buffer<T>>) -> impl PinInit<Self> {
        pin_init!(Self {
            mappings <- new_mutex!(KVec::new(), "DmaBuf::mappings"),
            view: SetOnce::new(),
            buffer,
        })
    }

    /// Maps the frames for `device`, and returns the scatter list, which is a new one for each
    /// call. May sleep.
    ///
    /// # Errors
    ///
    /// Those of [`DeviceMapping::new`]; `ENOMEM`.
    fn map(&self, device: &Device, direction: Direction) -> Result<*mut bindings::sg_table> {
        let buffer = &self.buffer;
        // SAFETY: The grants stay mapped as long as the `Buffer` lives, to which `self` holds a
        // reference; `self` drops it after the mappings.
        let mapping = unsafe {
            DeviceMapping::new(
                buffer.frames(),
                buffer.data_offset,
                device.into(),
                direction,
            )
        }?;
        let list = mapping.as_raw();
        self.mappings.lock().push(mapping, GFP_KERNEL)?;
        Ok(list)
    }

    /// Undoes the [`Self::map`] that returned `list`. May sleep.
    fn unmap(&self, list: *mut bindings::sg_table) {
        let mut mappings = self.mappings.lock();
        let index = mappings
            .iter()
            .position(|mapping| ptr::eq(mapping.as_raw(), list));
        let mapping = index.and_then(|index| mappings.remove(index).ok());
        drop(mappings);
        drop(mapping);
    }

    /// Returns the contiguous mapping of the frames in the kernel. Called with the reservation lock
    /// held, so that there is one caller at a time.
    ///
    /// # Errors
    ///
    /// Those of [`KernelView::new`].
    fn view(&self) -> Result<&KernelView> {
        if self.view.as_ref().is_none() {
            let buffer = &self.buffer;
            // SAFETY: The frames stay allocated as long as the `Buffer` lives, to which `self`
            // holds a reference; `self` drops it after the view.
            let view = unsafe { KernelView::new(buffer.frames(), buffer.exporter().grants()) }?;
            self.view.populate(view);
        }
        self.view.as_ref().ok_or(ENOMEM)
    }

    /// Calls `f` for each mapping that a device has now.
    fn for_each_mapping(&self, f: impl Fn(&DeviceMapping)) {
        self.mappings.lock().iter().for_each(f);
    }
}

/// `struct dma_buf_ops` for buffers whose private data is a `Shared<T>`.
pub(crate) struct DmaBufOps<T: Exporter> {
    table: bindings::dma_buf_ops,
    exporter: PhantomData<T>,
}

// SAFETY: The table is never written.
unsafe impl<T: Exporter> Sync for DmaBufOps<T> {}

impl<T: Exporter> DmaBufOps<T> {
    /// Makes the table, for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            table: bindings::dma_buf_ops {
                map_dma_buf: Some(Self::map_dma_buf),
                unmap_dma_buf: Some(Self::unmap_dma_buf),
                release: Some(Self::release),
                begin_cpu_access: Some(Self::begin_cpu_access),
                end_cpu_access: Some(Self::end_cpu_access),
                mmap: Some(Self::mmap),
                vmap: Some(Self::vmap),
                ..pin_init::zeroed()
            },
            exporter: PhantomData,
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
    /// `raw` must be an attachment to a buffer that has these operations.
    unsafe extern "C" fn map_dma_buf(
        raw: *mut bindings::dma_buf_attachment,
        direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        // SAFETY: By this function's safety requirements.
        let shared = unsafe { Self::shared((*raw).dmabuf) };
        let list = Direction::from_raw(direction).and_then(|direction| {
            // SAFETY: An attachment has a device, to which the importer holds a reference.
            let device: &Device = unsafe { Device::from_raw((*raw).dev) };
            shared.map(device, direction)
        });
        // The importer does not use the list after it returned it.
        list.unwrap_or_else(|error| error.to_ptr())
    }

    /// # Safety
    ///
    /// `raw` must be an attachment to a buffer that has these operations.
    unsafe extern "C" fn unmap_dma_buf(
        raw: *mut bindings::dma_buf_attachment,
        list: *mut bindings::sg_table,
        _direction: bindings::dma_data_direction,
    ) {
        // SAFETY: By this function's safety requirements.
        unsafe { Self::shared((*raw).dmabuf) }.unmap(list);
    }

    /// # Safety
    ///
    /// `buffer` must be a buffer with these operations, in its last use.
    unsafe extern "C" fn release(buffer: *mut bindings::dma_buf) {
        // SAFETY: `DmaBuf::new()` got the pointer from `into_foreign()`, and nothing uses it after
        // this.
        drop(unsafe { Pin::<KBox<Shared<T>>>::from_foreign((*buffer).priv_) });
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
            // The framework waits after this call, too late for what is copied here.
            // SAFETY: By this function's safety requirements; its caller does not hold the
            // reservation lock.
            to_result(unsafe { bindings::xen_rust_wait_for_fences(buffer, direction) })?;
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
            let address = shared.view()?.address().as_ptr();
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
}
