// SPDX-License-Identifier: GPL-2.0

//! Numbers of CPUs.

/// A CPU of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PossibleCpu(pub(crate) u32);

impl PossibleCpu {
    /// The CPU's number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}
