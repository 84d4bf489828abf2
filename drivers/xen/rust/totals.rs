// SPDX-License-Identifier: GPL-2.0

//! Totals of the driver, which debugfs shows.
//!
//! Each CPU has a share of each total, so that counting takes no lock and writes to no memory that
//! other CPUs write to. The total is the sum of the shares. A share is negative if more things
//! ended on its CPU than were made there. All functions may be called from any context but an NMI,
//! and never sleep.
//!
//! C header: [`include/linux/percpu-defs.h`](srctree/include/linux/percpu-defs.h).

use crate::xen::bindings;

/// Declares [`Total`], with the name of each total in debugfs.
macro_rules! totals {
    ($($(#[$doc:meta])* $total:ident = $name:literal,)+) => {
        /// Number of things of the driver, over all files.
        #[derive(Clone, Copy)]
        #[repr(u32)]
        pub(crate) enum Total {
            $($(#[$doc])* $total,)+
        }

        impl Total {
            /// All totals, and their names.
            pub(crate) const ALL: &'static [(Self, &'static str)] = &[$((Self::$total, $name)),+];
        }
    };
}

totals! {
    /// Open files of the device.
    OpenFiles = "open_files",
    /// Regions of files, and those that were removed from a file and are still mapped.
    Regions = "regions",
    /// Frames that were allocated for grants, and not given back or lost since.
    Frames = "frames",
    /// Grants that are mapped at frames.
    MappedGrants = "mapped_grants",
    /// Handles of mapped grants, each of which is an entry of Xen's maptrack table. In a
    /// paravirtual domain a grant can have several.
    GrantHandles = "grant_handles",
    /// dma-bufs of granted pages.
    Exports = "exports",
    /// dma-bufs whose pages are granted.
    Imports = "imports",
    /// Grant references of imported dma-bufs.
    GrantedReferences = "granted_references",
    /// Mappings and imports that have ended for their owner and are left to the worker.
    Deferred = "deferred",
    /// Map operations that Xen refused since the module was loaded.
    RefusedMaps = "refused_maps",
    /// Those of [`Self::RefusedMaps`] for which Xen's maptrack table had no room.
    RefusedMapsFull = "refused_maps_full",
    /// Grants of this domain that the driver refused to map since the module was loaded.
    RefusedOwnGrants = "refused_own_grants",
    /// Unmap operations that Xen refused since the module was loaded.
    RefusedUnmaps = "refused_unmaps",
    /// Frames that were leaked since the module was loaded.
    LostFrames = "lost_frames",
    /// Handles of mapped grants that were leaked since the module was loaded.
    LostHandles = "lost_handles",
}

const _: () = assert!(Total::ALL.len() <= bindings::XEN_RUST_TOTALS as usize);

impl Total {
    /// Adds `count`.
    pub(crate) fn add(self, count: usize) {
        self.change(count as isize);
    }

    /// Subtracts `count`.
    pub(crate) fn subtract(self, count: usize) {
        self.change(-(count as isize));
    }

    /// Adds `count` until the returned value is dropped.
    pub(crate) fn hold(self, count: usize) -> Held {
        self.add(count);
        Held { total: self, count }
    }

    /// Returns the total. It is exact if nothing changes it meanwhile.
    pub(crate) fn get(self) -> usize {
        // SAFETY: By the assertion above, there is a counter for each value of `Total`.
        let sum = unsafe { bindings::xen_rust_total(self as u32) };
        // Shares that are read at different times can add up to less than nothing.
        usize::try_from(sum).unwrap_or(0)
    }

    fn change(self, difference: isize) {
        // SAFETY: As in `get()`.
        unsafe { bindings::xen_rust_change_total(self as u32, difference as kernel::ffi::c_long) };
    }
}

/// Part of a total. Dropping it subtracts the part.
pub(crate) struct Held {
    total: Total,
    count: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.subtract(self.count);
    }
}
