// SPDX-License-Identifier: GPL-2.0

//! Domains of a run.

use xen_grants::DOM0;

/// Domains of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// True if dom0, which runs the fuzzer, is paravirtual.
    pub paravirtual: bool,
    /// The domU that grants pages, if there is one.
    pub domu: Option<u32>,
    /// True if the kernel has process_vm_readv(2) and process_vm_writev(2), which are an option.
    pub has_process_memory: bool,
}

impl Setting {
    /// Returns the domain that grants the pages of the share in slot `slot`. An auto-translated
    /// domain cannot map its own grants, so few of them are its own.
    pub fn owner(&self, slot: usize) -> u32 {
        let is_own = if self.paravirtual {
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
