// SPDX-License-Identifier: GPL-2.0

//! Domains of a run.

use xen_grants::DOM0;

/// Domains of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// True if dom0, which runs the fuzzer, is paravirtual.
    pub paravirtual: bool,
    /// True if dom0 may map its own grants.
    pub maps_own_grants: bool,
    /// The domU that grants pages, if there is one.
    pub domu: Option<u32>,
    /// True if the kernel has process_vm_readv(2) and process_vm_writev(2), which are an option.
    pub has_process_memory: bool,
}

impl Setting {
    /// Returns the domain that grants the pages of the share in slot `slot`. Few of them are of
    /// dom0 itself if it cannot map those.
    pub fn owner(&self, slot: usize) -> u32 {
        let is_own = if self.maps_own_grants {
            slot % 2 == 0
        } else {
            slot == 0
        };
        match self.domu {
            Some(domu) if !is_own => domu,
            _ => DOM0,
        }
    }
}
