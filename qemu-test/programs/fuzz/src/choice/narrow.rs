// SPDX-License-Identifier: GPL-2.0

//! Choice of ioctls of a 32-bit program.

use super::chooser::Chooser;
use super::copy;
use super::device;
use super::dma_buf;
use super::Choice;
use crate::operation::Operation;

/// Ioctls whose argument a 32-bit program can make.
const IOCTLS: [Choice; 6] = [
    device::insert,
    device::remove,
    device::notify,
    device::place_of,
    copy::copy,
    dma_buf::export,
];

/// Chooses [`Operation::Narrow`].
pub fn ioctl(chooser: &mut Chooser) -> Operation {
    let choice = chooser.pick(&IOCTLS);
    Operation::Narrow(Box::new(choice(chooser)))
}
