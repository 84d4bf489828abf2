// SPDX-License-Identifier: GPL-2.0

//! What is done for the peer when a region is unmapped: a byte is cleared, an event is sent.
//!
//! It is how the other side learns that a program has gone, in whatever way it went.

#![forbid(unsafe_code)]

use crate::{
    open_file::OpenFile,
    xen::{
        bindings::{
            ioctl_gntdev_unmap_notify,
            UNMAP_NOTIFY_CLEAR_BYTE,
            UNMAP_NOTIFY_SEND_EVENT, //
        },
        evtchn::{
            EventChannel,
            SendOnDrop, //
        },
        grant_mapping::{
            GrantMapping,
            MappedFrames, //
        },
        user_memory, //
    },
};
use core::ops::Range;
use kernel::{
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    uaccess::UserPtr, //
};

/// What a region is to do when it is unmapped.
#[derive(Default)]
struct Actions {
    /// The byte to clear, counted from the start of the region.
    clear_byte: Option<usize>,
    send_event: Option<EventChannel>,
}

/// The actions of a region, shared with its mapping.
#[pin_data]
pub(crate) struct UnmapNotify {
    /// Taken inside of MMU notifiers: nothing is allocated while it is held.
    #[pin]
    actions: Mutex<Actions>,
}

impl UnmapNotify {
    /// No actions.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            actions <- new_mutex!(Actions::default(), "UnmapNotify::actions"),
        })
    }

    /// Replaces the actions. The event channel of the former ones is given up without an event.
    fn set(&self, actions: Actions) {
        let former = core::mem::replace(&mut *self.actions.lock(), actions);
        // Not before the lock is released, because closing a channel allocates.
        drop(former);
    }

    /// Prints the actions for fdinfo. May sleep.
    pub(crate) fn show(&self, seq: &SeqFile) {
        let actions = self.actions.lock();
        if let Some(byte) = actions.clear_byte {
            seq_print!(seq, " clear-byte {byte:#x}");
        }
        if let Some(channel) = &actions.send_event {
            seq_print!(seq, " send-event {}", channel.port());
        }
    }

    /// Does what is to be done before the pages of `range` are unmapped, once.
    pub(crate) fn before_unmap(&self, range: Range<usize>, grants: &GrantMapping) {
        let byte = self
            .actions
            .lock()
            .clear_byte
            .take_if(|byte| range.contains(&(*byte / PAGE_SIZE)));
        if let Some(byte) = byte {
            grants.clear_byte(byte);
        }
    }

    /// The event that is to be sent when the region has been unmapped.
    pub(crate) fn take_event(&self) -> Option<SendOnDrop> {
        let channel = self.actions.lock().send_event.take();
        channel.map(EventChannel::send_on_drop)
    }
}

/// A mapping whose end is told to the peer, once there is a whole one.
pub(crate) struct NotifyingMapping {
    grants: GrantMapping,
    notify: SetOnce<Arc<UnmapNotify>>,
}

impl NotifyingMapping {
    /// A mapping whose end is not told to anybody yet.
    pub(crate) fn new(grants: GrantMapping) -> Self {
        Self {
            grants,
            notify: SetOnce::new(),
        }
    }

    /// Has the grants do what `notify` says when they are unmapped. To be called once, when the
    /// region is mapped: if that fails nothing is unmapped that the peer has to know of, and the
    /// region goes on to exist.
    pub(crate) fn tell(&self, notify: Arc<UnmapNotify>) {
        self.notify.populate(notify);
    }

    /// The frames that the grants are mapped at.
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.grants.frames()
    }

    /// To be called before the pages of `range` are taken from the process.
    pub(crate) fn tell_before_unmap(&self, range: Range<usize>) {
        if let Some(notify) = self.notify.as_ref() {
            notify.before_unmap(range, &self.grants);
        }
    }

    /// See [`GrantMapping::unmap_unreferenced`].
    pub(crate) fn unmap_unreferenced(&self, range: Range<usize>) {
        self.grants.unmap_unreferenced(range);
    }
}

impl Drop for NotifyingMapping {
    fn drop(&mut self) {
        self.tell_before_unmap(0..self.grants.frames().len());
        let notify = self.notify.as_ref();
        if let Some(event) = notify.and_then(|notify| notify.take_event()) {
            self.grants.send_at_end(event);
        }
    }
}

/// `IOCTL_GNTDEV_SET_UNMAP_NOTIFY`: sets what is done when a region is unmapped, instead of what
/// was set before.
///
/// # Errors
///
/// `EFAULT` if `argument` cannot be read; `EINVAL` for an unknown action, for an event channel
/// that is not open, and for clearing a byte of a region that is mapped read-only; `ENOENT` if no
/// region of the file has the index.
pub(crate) fn set_unmap_notify(file: &OpenFile, argument: UserPtr) -> Result {
    let request: ioctl_gntdev_unmap_notify = user_memory::read(argument)?;
    if request.action & !(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT) != 0 {
        return Err(EINVAL);
    }
    // Before the former reference is given up, which may be to the same channel and the last one.
    let send_event = (request.action & UNMAP_NOTIFY_SEND_EVENT != 0)
        .then(|| EventChannel::get(request.event_channel_port))
        .transpose()?;

    let index = usize::try_from(request.index).map_err(|_| ENOENT)?;
    let (first_page, region) = file
        .regions()
        .get_containing(index >> PAGE_SHIFT)
        .ok_or(ENOENT)?;
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
