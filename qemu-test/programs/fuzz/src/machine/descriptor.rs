// SPDX-License-Identifier: GPL-2.0

//! Passing of descriptors over a socket.

use std::io;
use std::os::fd::AsFd;

use guest_test::descriptor_passing;
use guest_test::gntdev::Gntdev;
use xen_grants::dma_buf::DmaBuf;

use super::slots::Slots;
use crate::argument::Sent;
use crate::outcome::Outcome;

/// Sends a descriptor and closes it. Returns `None` if there is none, or one in the socket already.
///
/// # Errors
///
/// Those of the socket, which are no results of the device.
pub fn send(slots: &mut Slots, sent: Sent) -> io::Result<Option<Outcome>> {
    if slots.sent.is_some() {
        return Ok(None);
    }
    let socket = &slots.sender;
    let is_sent = match sent {
        Sent::File(slot) => slots.files[slot]
            .take()
            .map(|file| descriptor_passing::send(socket, file.as_fd())),
        Sent::Buffer(slot) => slots.buffers[slot]
            .take()
            .map(|buffer| descriptor_passing::send(socket, buffer.as_fd())),
    };
    let Some(result) = is_sent else {
        return Ok(None);
    };
    result?;
    slots.sent = Some(sent);
    Ok(Some(Outcome::Done))
}

/// Receives a descriptor. Returns `None` if there is none in the socket.
///
/// # Errors
///
/// Those of the socket.
pub fn receive(slots: &mut Slots, file: usize, buffer: usize) -> io::Result<Option<Outcome>> {
    let Some(sent) = slots.sent.take() else {
        return Ok(None);
    };
    Ok(Some(match sent {
        Sent::File(_) => {
            slots.files[file] = None;
            let received = descriptor_passing::receive(&slots.receiver)?;
            slots.files[file] = Some(Gntdev::from(received));
            Outcome::Done
        }
        Sent::Buffer(_) => {
            slots.buffers[buffer] = None;
            let received = DmaBuf::from(descriptor_passing::receive(&slots.receiver)?);
            let number = received.number();
            slots.buffers[buffer] = Some(received);
            Outcome::Number(number.into())
        }
    }))
}
