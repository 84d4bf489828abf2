// SPDX-License-Identifier: GPL-2.0

//! Directions of transfers between memory and devices.
//!
//! C header: [`include/linux/dma-direction.h`](srctree/include/linux/dma-direction.h).

use crate::xen::bindings;
use core::mem;
use kernel::prelude::*;

/// Direction of a transfer between memory and a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The device reads and writes the memory.
    Bidirectional,
    /// The device reads the memory.
    ToDevice,
    /// The device writes the memory.
    FromDevice,
}

// SERIES 7.2/7.3: in Rust the C enumeration is an integer, or a structure around one.
#[allow(clippy::useless_transmute)]
impl Direction {
    /// Converts the C value.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `raw` is no direction.
    pub(crate) fn from_raw(raw: bindings::dma_data_direction) -> Result<Self> {
        // SAFETY: As below.
        match unsafe { mem::transmute::<bindings::dma_data_direction, c_int>(raw) } {
            bindings::DMA_BIDIRECTIONAL => Ok(Self::Bidirectional),
            bindings::DMA_TO_DEVICE => Ok(Self::ToDevice),
            bindings::DMA_FROM_DEVICE => Ok(Self::FromDevice),
            _ => Err(EINVAL),
        }
    }

    /// Returns the C value.
    pub(crate) const fn into_raw(self) -> bindings::dma_data_direction {
        let number = match self {
            Self::Bidirectional => bindings::DMA_BIDIRECTIONAL,
            Self::ToDevice => bindings::DMA_TO_DEVICE,
            Self::FromDevice => bindings::DMA_FROM_DEVICE,
        };
        // SAFETY: Both have the representation of an integer and allow any value.
        unsafe { mem::transmute::<c_int, bindings::dma_data_direction>(number) }
    }

    /// Returns the direction to synchronize for a CPU before it does `access` to memory that is
    /// mapped in the direction `self`, or `None` for no synchronization. The access of a CPU that
    /// reads is [`Self::FromDevice`], of one that writes [`Self::ToDevice`].
    ///
    /// Before a CPU that only writes, data of the device must not be synchronized: the copy from a
    /// bounce buffer would overwrite data that was written to the memory meanwhile.
    pub(crate) fn before_cpu(self, access: Self) -> Option<Self> {
        self.common(access)
    }

    /// Returns the direction to synchronize for the device after a CPU did `access` to memory that
    /// is mapped in the direction `self`, or `None` for no synchronization.
    ///
    /// Needed also if the device only writes: data of a CPU must not leave its cache later.
    pub(crate) fn after_cpu(self, access: Self) -> Option<Self> {
        match (self, access) {
            (Self::FromDevice, Self::ToDevice) => Some(Self::FromDevice),
            _ => self.common(access),
        }
    }

    /// Returns the direction that both include.
    fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Bidirectional, direction) | (direction, Self::Bidirectional) => Some(direction),
            _ => (self == other).then_some(self),
        }
    }
}
