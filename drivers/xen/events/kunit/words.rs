// SPDX-License-Identifier: GPL-2.0

//! Event words as the public interface lays them out, and short forms to reach them.
//!
//! The values are written out here, so that a wrong constant of the driver does not go unnoticed.
//!
//! C header: `include/xen/interface/event_channel.h`.

#![forbid(unsafe_code)]

use crate::{
    event_array::EventArray,
    event_word::{
        Port,
        WordState, //
    }, //
};
use kernel::prelude::*;

/// Bit of an event word that is pending (C: `EVTCHN_FIFO_PENDING`).
pub(crate) const PENDING: u32 = 1 << 31;

/// Bit of an event word that is masked (C: `EVTCHN_FIFO_MASKED`).
pub(crate) const MASKED: u32 = 1 << 30;

/// Bit of an event word that is in a queue (C: `EVTCHN_FIFO_LINKED`).
pub(crate) const LINKED: u32 = 1 << 29;

/// Number of event words in a page.
pub(crate) const WORDS: u32 = 1024;

/// Port of a number that is valid.
///
/// # Errors
///
/// `EINVAL` if no port has this number.
pub(crate) fn port(number: u32) -> Result<Port> {
    Port::new(number).ok_or(EINVAL)
}

/// State of the word of a port; `None` if the port has no word.
pub(crate) fn state(array: &EventArray, number: u32) -> Option<WordState> {
    let word = array.word(Port::new(number)?)?;
    Some(word.state())
}
