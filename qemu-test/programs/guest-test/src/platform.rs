// SPDX-License-Identifier: GPL-2.0

//! Kind of this domain, and the driver of the grant device.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// Memory model of a domain, which decides how a grant is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryModel {
    /// The domain writes machine frames into its page tables (PV).
    Paravirtual,
    /// The hypervisor translates (PVH, HVM, arm64).
    AutoTranslated,
}

impl MemoryModel {
    /// Returns the model of this domain.
    pub fn current() -> io::Result<Self> {
        let guest_type = fs::read_to_string("/sys/hypervisor/guest_type")?;
        match guest_type.trim() {
            "PV" => Ok(Self::Paravirtual),
            "PVH" | "HVM" => Ok(Self::AutoTranslated),
            other => Err(io::Error::other(format!("unknown guest type {other:?}"))),
        }
    }
}

/// Returns `true` if this domain may map its own grants. For an auto-translated one Xen for x86
/// would take the page away from its usual address.
pub fn maps_own_grants() -> io::Result<bool> {
    Ok(!cfg!(target_arch = "x86_64") || MemoryModel::current()? == MemoryModel::Paravirtual)
}

/// Driver of the grant device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Linux's own driver in C.
    C,
    /// The driver of this project.
    Rust,
}

impl Driver {
    /// Returns the loaded one.
    pub fn current() -> io::Result<Self> {
        [Self::Rust, Self::C]
            .into_iter()
            .find(|driver| driver.folder().exists())
            .ok_or_else(|| io::Error::other("no grant device driver is loaded"))
    }

    /// Folder of the module in sysfs.
    fn folder(self) -> PathBuf {
        let module = match self {
            Self::C => "xen_gntdev",
            Self::Rust => "xen_gntdev_rust",
        };
        Path::new("/sys/module").join(module)
    }

    /// File of the module parameter `limit`.
    pub fn limit_file(self) -> PathBuf {
        self.folder().join("parameters/limit")
    }
}

/// Returns a field of /proc/meminfo, in kB.
pub fn memory_info(field: &str) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == field)
        .and_then(|(_, value)| value.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {field}")))
}

/// Returns the number of pages that are pinned by anyone in the kernel. Only root may call it.
pub fn pinned_pages() -> io::Result<i64> {
    // Each processor counts for itself, and adds its part to the sums when asked.
    fs::write("/proc/sys/vm/stat_refresh", "1")?;
    // Both sums are of one moment.
    let sums = fs::read_to_string("/proc/vmstat")?;
    Ok(kernel_counter(&sums, "nr_foll_pin_acquired")?
        - kernel_counter(&sums, "nr_foll_pin_released")?)
}

/// Returns a counter of `sums`, the text of /proc/vmstat.
fn kernel_counter(sums: &str, name: &str) -> io::Result<i64> {
    sums.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/vmstat has no {name}")))
}
