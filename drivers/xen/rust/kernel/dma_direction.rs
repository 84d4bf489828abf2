// SPDX-License-Identifier: GPL-2.0

//! Directions of transfers between memory and devices.
//!
//! C header: [`include/linux/dma-direction.h`](srctree/include/linux/dma-direction.h).

use crate::xen::bindings;
use core::mem;
use kernel::prelude::*;

/// The direction of a transfer between memory and a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The device reads and writes the memory.
    Bidirectional,
    /// The device reads the memory.
    ToDevice,
    /// The device writes the memory.
    FromDevice,
}

// SERIES 7.2/7.3: the C enumeration is an integer in Rust, or a structure around one.
#[allow(clippy::useless_transmute)]
impl Direction {
    /// Takes the C value.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no direction.
    pub(crate) fn from_raw(raw: bindings::dma_data_direction) -> Result<Self> {
        // SAFETY: As below.
        match unsafe { mem::transmute::<bindings::dma_data_direction, c_int>(raw) } {
            bindings::DMA_BIDIRECTIONAL => Ok(Self::Bidirectional),
            bindings::DMA_TO_DEVICE => Ok(Self::ToDevice),
            bindings::DMA_FROM_DEVICE => Ok(Self::FromDevice),
            _ => Err(EINVAL),
        }
    }

    /// The C value.
    pub(crate) const fn into_raw(self) -> bindings::dma_data_direction {
        let number = match self {
            Self::Bidirectional => bindings::DMA_BIDIRECTIONAL,
            Self::ToDevice => bindings::DMA_TO_DEVICE,
            Self::FromDevice => bindings::DMA_FROM_DEVICE,
        };
        // SAFETY: Both have the representation of an integer and allow any value.
        unsafe { mem::transmute::<c_int, bindings::dma_data_direction>(number) }
    }

    /// What has to be synchronized for a CPU that is about to do `access` with memory that is
    /// mapped in the direction `self`; `None` is nothing. A CPU that reads does
    /// [`Self::FromDevice`], one that writes [`Self::ToDevice`].
    ///
    /// A CPU that only writes must not get what the device wrote: out of a bounce buffer that would
    /// replace what others wrote to the memory meanwhile, above all the domain that granted it.
    pub(crate) fn before_cpu(self, access: Self) -> Option<Self> {
        self.common(access)
    }

    /// What has to be synchronized for the device after a CPU did `access` with memory that is
    /// mapped in the direction `self`; `None` is nothing.
    ///
    /// Also where the device only writes: what a CPU wrote there must not leave its cache later.
    pub(crate) fn after_cpu(self, access: Self) -> Option<Self> {
        match (self, access) {
            (Self::FromDevice, Self::ToDevice) => Some(Self::FromDevice),
            _ => self.common(access),
        }
    }

    /// The direction that both include.
    fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Bidirectional, direction) | (direction, Self::Bidirectional) => Some(direction),
            _ => (self == other).then_some(self),
        }
    }
}
