// SPDX-License-Identifier: GPL-2.0

//! Exported dma-bufs of a file, and the notification of programs that one has been released.
//!
//! A buffer counts as released when its grants have been unmapped: the domain that granted the
//! pages can then use them for something else.

#![forbid(unsafe_code)]

use crate::{
    descriptor_index::{
        DescriptorIndex,
        Key,
        Room, //
    },
    dma_buf_layout::Backing,
    release_event::ReleaseEvent,
    xen::{
        gntdev::uapi::ioctl_gntdev_dmabuf_exp_wait_released,
        kernel::{
            misc_device::Readiness,
            user_memory, //
        },
    },
};
use core::mem::size_of;
use kernel::{
    fs::File,
    iov::IovIterDest,
    new_mutex,
    new_poll_condvar,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    uaccess::UserPtr, //
};

/// State of an exported buffer, as a program sees it. It does not keep the buffer.
#[pin_data]
pub(crate) struct Record {
    description: Description,
    /// Set when the buffer is added to the index of its file.
    key: SetOnce<Key>,
    #[pin]
    released: ReleaseEvent,
}

/// Description of an exported buffer for fdinfo.
pub(crate) struct Description {
    /// Domain that granted the pages.
    pub(crate) domain: u16,
    /// Number of pages that the program named.
    pub(crate) page_count: usize,
    /// Kind of memory that the program requested.
    pub(crate) backing: Backing,
    /// Offset of the data in the pages, in bytes.
    pub(crate) data_offset: u32,
}

impl Record {
    /// Makes the record of a buffer that is being created. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(description: Description) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                description,
                key: SetOnce::new(),
                released <- ReleaseEvent::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns true if the buffer was added to the index of its file, so that its export succeeded.
    pub(crate) fn is_in_index(&self) -> bool {
        self.key.as_ref().is_some()
    }
}

/// Exported buffers of a file. Buffers that outlive the file keep it.
#[pin_data]
pub(crate) struct Exports {
    #[pin]
    state: Mutex<State>,
    /// Wait queue of `poll()`. Made on the first call: most files are never polled, and freeing it
    /// takes an RCU grace period.
    waiters: SetOnce<Pin<KBox<PollCondVar>>>,
}

struct State {
    /// Buffers that have not been released.
    index: DescriptorIndex<Arc<Record>>,
    /// Number of buffers that have been released since the last `read()`.
    unread: u64,
}

impl Exports {
    /// Makes an empty set of buffers. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let state = State {
            index: DescriptorIndex::new(),
            unread: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(state, "Exports::state"),
                waiters: SetOnce::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds a buffer whose file descriptor is going to be `descriptor`.
    pub(crate) fn insert(&self, room: Room<Arc<Record>>, descriptor: u32, record: &Arc<Record>) {
        let mut state = self.state.lock();
        let key = state.index.insert(room, descriptor, record.clone());
        // Done with the lock held: a key that is set must be found in the index.
        record.key.populate(key);
    }

    /// Notifies all waiters that the buffer of `record` has been released. A buffer that was never
    /// added to the index has no waiters.
    fn release(&self, record: &Record) {
        let Some(key) = record.key.as_ref() else {
            return;
        };
        let mut state = self.state.lock();
        let removed = state.index.remove(*key);
        state.unread = state.unread.saturating_add(1);
        drop(state);
        drop(removed);

        record.released.signal();
        self.wake_pollers();
    }

    fn wake_pollers(&self) {
        if let Some(waiters) = self.waiters.as_ref() {
            waiters.notify_all();
        }
    }

    /// Prints the buffers for fdinfo. May sleep.
    pub(crate) fn show(&self, seq: &SeqFile) {
        for (descriptor, record) in self.state.lock().index.iter() {
            let Description {
                domain,
                page_count,
                backing,
                data_offset,
            } = &record.description;
            seq_print!(
                seq,
                "export:\tfd {descriptor} domain {domain} count {page_count} {}",
                backing.name()
            );
            if *data_offset != 0 {
                seq_print!(seq, " data-offset {data_offset:#x}");
            }
            seq_print!(seq, "\n");
        }
    }

    /// `poll()`: readable if a buffer has been released since the last `read()`.
    pub(crate) fn poll(&self, file: &File, table: PollTable<'_>) -> Readiness {
        if self.waiters.as_ref().is_none() {
            let waiters = KBox::pin_init(new_poll_condvar!("Exports::waiters"), GFP_KERNEL);
            let Ok(waiters) = waiters else {
                return Readiness::Failed;
            };
            self.set_waiters(waiters);
        }
        if let Some(waiters) = self.waiters.as_ref() {
            table.register_wait(file, waiters);
        }
        // Checked after registering: an earlier release is seen here, and a later one wakes the
        // caller up.
        if self.state.lock().unread != 0 {
            Readiness::Readable
        } else {
            Readiness::Nothing
        }
    }

    /// Sets the wait queue of `poll()`, unless another caller has set one.
    fn set_waiters(&self, waiters: Pin<KBox<PollCondVar>>) {
        let mut unused = Some(waiters);
        // Done with the lock held, so that all callers use the same queue afterwards.
        let state = self.state.lock();
        if self.waiters.as_ref().is_none() {
            if let Some(waiters) = unused.take() {
                self.waiters.populate(waiters);
            }
        }
        drop(state);
        drop(unused);
    }

    /// `read()`: returns the number of buffers that have been released since the last call, as 64
    /// bits in the byte order of the machine. It never waits.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a buffer of less than 8 bytes; `EAGAIN` if the number is 0; `EFAULT`.
    pub(crate) fn read(&self, destination: &mut IovIterDest<'_>) -> Result<usize> {
        if destination.len() < size_of::<u64>() {
            return Err(EINVAL);
        }
        let count = core::mem::take(&mut self.state.lock().unread);
        if count == 0 {
            return Err(EAGAIN);
        }
        if destination.copy_to_iter(&count.to_ne_bytes()) < size_of::<u64>() {
            let mut state = self.state.lock();
            state.unread = state.unread.saturating_add(count);
            drop(state);
            // Another caller may have polled in the meantime, and found nothing.
            self.wake_pollers();
            return Err(EFAULT);
        }
        Ok(size_of::<u64>())
    }
}

/// Notice of the release of a buffer, which is sent when it is dropped.
pub(crate) struct ReleaseNotice {
    exports: Arc<Exports>,
    record: Arc<Record>,
}

impl ReleaseNotice {
    /// Makes the notice for the buffer of `record`, which is or will be one of `exports`.
    pub(crate) fn new(exports: Arc<Exports>, record: Arc<Record>) -> Self {
        Self { exports, record }
    }
}

impl Drop for ReleaseNotice {
    fn drop(&mut self) {
        self.exports.release(&self.record);
    }
}

/// `IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED`: waits for the release of the buffer that this file
/// exported as the file descriptor of that number, which may have been closed since. If several
/// buffers had the number, it is the newest that has not been released.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read; `ENOENT` if there is no such buffer, or it has been
/// released; `ETIMEDOUT`; `EINTR` on a signal.
pub(crate) fn wait_released(exports: &Exports, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_dmabuf_exp_wait_released = user_memory::read(argument)?;
    let record = {
        let state = exports.state.lock();
        let (_, record) = state.index.newest(request.fd).ok_or(ENOENT)?;
        record.clone()
    };
    record.released.wait(request.wait_to_ms)
}
