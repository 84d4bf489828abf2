// SPDX-License-Identifier: GPL-2.0

//! What is done for the peer when a region is unmapped: a byte is cleared, an event is sent.
//!
//! It is how the other side learns that a program has gone, in whatever way it went.

#![forbid(unsafe_code)]

use crate::xen::{
    event::channel::EventChannel,
    gntdev::trace,
    grant::mapping::{
        GrantMapping,
        MappedFrames, //
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

/// Actions to take when a region is unmapped.
#[derive(Default)]
pub(crate) struct Actions {
    /// The byte to clear, counted from the start of the region.
    pub(crate) clear_byte: Option<usize>,
    /// The channel to send an event on.
    pub(crate) send_event: Option<EventChannel>,
}

/// An event that is still to be sent: dropping it sends it and drops the reference to the channel.
/// May sleep then.
pub(crate) struct UnmapEvent(EventChannel);

impl Drop for UnmapEvent {
    fn drop(&mut self) {
        trace::notify_event(self.0.port());
        self.0.notify();
    }
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
    pub(crate) fn set(&self, actions: Actions) {
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

    /// The event that is to be sent when the region has been unmapped.
    pub(crate) fn take_event(&self) -> Option<UnmapEvent> {
        self.actions.lock().send_event.take().map(UnmapEvent)
    }
}

/// A mapping whose end is told to the peer, once there is a whole one.
pub(crate) struct NotifyingMapping {
    /// The event goes when the grants have been unmapped, which may be later than `self`.
    grants: GrantMapping<Option<UnmapEvent>>,
    notify: SetOnce<Arc<UnmapNotify>>,
}

impl NotifyingMapping {
    /// A mapping whose end is not told to anybody yet.
    pub(crate) fn new(grants: GrantMapping<Option<UnmapEvent>>) -> Self {
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
        self.grants
            .set_end(notify.and_then(|notify| notify.take_event()));
    }
}
