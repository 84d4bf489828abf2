// SPDX-License-Identifier: GPL-2.0

//! Notification of the peer when a region is unmapped: a byte is cleared, an event is sent.
//!
//! The peer learns by it that a program has ended, in any way.

#![forbid(unsafe_code)]

use crate::xen::{
    event::channel::EventChannel,
    gntdev::trace,
    grant::{
        map::MapOperations,
        mapping::{
            GrantMapping,
            MappedFrames, //
        },
        operation::{
            Access,
            GrantReference, //
        },
    },
};
use core::ops::Range;
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
};

/// Actions when a region is unmapped.
#[derive(Default)]
pub(crate) struct Actions {
    /// Offset of the byte to clear, from the start of the region.
    pub(crate) clear_byte: Option<usize>,
    /// Channel to send an event on.
    pub(crate) send_event: Option<EventChannel>,
}

/// Pending event. Dropping it sends the event and drops the reference to the channel; may sleep.
pub(crate) struct UnmapEvent(EventChannel);

impl Drop for UnmapEvent {
    fn drop(&mut self) {
        trace::notify_event(self.0.port());
        self.0.notify();
    }
}

/// Actions of a region, shared with its mapping.
#[pin_data]
pub(crate) struct UnmapNotify {
    /// Taken inside of MMU notifiers: nothing is allocated while it is held.
    #[pin]
    actions: Mutex<Actions>,
}

impl UnmapNotify {
    /// Makes an empty set of actions.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            actions <- new_mutex!(Actions::default(), "UnmapNotify::actions"),
        })
    }

    /// Replaces the actions. The reference to the former event channel is dropped without an event.
    pub(crate) fn set(&self, actions: Actions) {
        let former = core::mem::replace(&mut *self.actions.lock(), actions);
        // Dropped after the lock is released, because closing a channel allocates.
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

    /// Performs the actions that are due before the pages of `range` are unmapped, once.
    fn before_unmap(&self, range: Range<usize>, grants: &GrantMapping<Option<UnmapEvent>>) {
        let byte = self
            .actions
            .lock()
            .clear_byte
            .take_if(|byte| range.contains(&(*byte / PAGE_SIZE)));
        if let Some(byte) = byte.filter(|byte| grants.clear_byte(*byte)) {
            trace::notify_byte(byte);
        }
    }

    /// Takes the event that is to be sent after the region has been unmapped.
    pub(crate) fn take_event(&self) -> Option<UnmapEvent> {
        self.actions.lock().send_event.take().map(UnmapEvent)
    }
}

/// Mapping that notifies the peer of its end, after [`Self::tell`].
pub(crate) struct NotifyingMapping {
    /// Sends the event after the grants have been unmapped, which may be later than the drop of
    /// `self`.
    grants: GrantMapping<Option<UnmapEvent>>,
    notify: SetOnce<Arc<UnmapNotify>>,
}

impl NotifyingMapping {
    /// Makes a mapping without a notification.
    pub(crate) fn new(grants: GrantMapping<Option<UnmapEvent>>) -> Self {
        Self {
            grants,
            notify: SetOnce::new(),
        }
    }

    /// Has the grants perform the actions of `notify` when they are unmapped. Must be called once,
    /// after the region has been mapped, or at its end: when mapping has failed, nothing is
    /// unmapped that the peer has to know of, and the region continues to exist.
    pub(crate) fn tell(&self, notify: Arc<UnmapNotify>) {
        self.notify.populate(notify);
    }

    /// See [`GrantMapping::map`].
    pub(crate) fn map(
        &self,
        grants: impl ExactSizeIterator<Item = Result<GrantReference>>,
        access: Access,
        operations: &mut MapOperations,
    ) -> Result {
        self.grants.map(grants, access, operations)
    }

    /// See [`GrantMapping::undo`].
    pub(crate) fn undo(&self) {
        self.grants.undo();
    }

    /// See [`GrantMapping::leave_frames_to_worker`]. The same holds for the event.
    pub(crate) fn leave_frames_to_worker(&self) {
        self.grants.leave_frames_to_worker();
    }

    /// Returns the frames that the grants are mapped at.
    pub(crate) fn frames(&self) -> &MappedFrames {
        self.grants.frames()
    }

    /// Must be called before the pages of `range` are taken from the process.
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
        self.grants
            .set_end(notify.and_then(|notify| notify.take_event()));
    }
}
