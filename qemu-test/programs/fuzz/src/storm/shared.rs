// SPDX-License-Identifier: GPL-2.0

//! Things that all threads use, by slots.

use std::fs::File;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;

use guest_test::gntdev::Gntdev;
use suites::random::Random;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::GrantRef;

/// Number of open files of the device.
pub const FILES: usize = 2;
/// Number of slots for regions, for mappings and for dma-bufs.
pub const SLOTS: usize = 6;
/// Number of pages of a share.
pub const PAGES: usize = 4;

/// Region of a file.
#[derive(Clone, Copy)]
pub struct Region {
    /// Index of the file.
    pub file: usize,
    /// Offset in the file, in bytes.
    pub index: u64,
    /// Number of pages.
    pub count: usize,
}

/// Things that all threads use.
pub struct Shared {
    /// Files of the device.
    pub files: [Gntdev; FILES],
    /// Grants of all shares.
    pub grants: RwLock<Vec<GrantRef>>,
    /// Regions, also removed ones.
    pub regions: Mutex<[Option<Region>; SLOTS]>,
    /// Mappings.
    pub mappings: Mutex<[Option<Arc<Mapping>>; SLOTS]>,
    /// Exported dma-bufs.
    pub buffers: Mutex<[Option<Arc<DmaBuf>>; SLOTS]>,
    /// Event channel to send to.
    pub port: u32,
    /// `/proc/self/mem`, for writing to that memory also while it is protected.
    pub memory: File,
    /// Memory that comes and goes, for arguments and bytes of calls.
    pub vanishing: Mapping,
}

impl Shared {
    /// Returns one of the grants.
    pub fn grant(&self, random: &mut Random) -> GrantRef {
        let grants = self.grants.read().expect("no thread panics");
        grants[random.below(grants.len())]
    }

    /// Returns the region in a slot.
    pub fn region(&self, random: &mut Random) -> Option<Region> {
        self.regions.lock().expect("no thread panics")[random.below(SLOTS)]
    }

    /// Returns the mapping in a slot.
    pub fn mapping(&self, random: &mut Random) -> Option<Arc<Mapping>> {
        let mappings = self.mappings.lock().expect("no thread panics");
        mappings[random.below(SLOTS)].clone()
    }

    /// Puts a mapping into a slot. The former one is unmapped after the lock has been released.
    pub fn keep(&self, random: &mut Random, mapping: Option<Mapping>) -> Option<Arc<Mapping>> {
        let mut mappings = self.mappings.lock().expect("no thread panics");
        let slot = &mut mappings[random.below(SLOTS)];
        std::mem::replace(slot, mapping.map(Arc::new))
    }

    /// Returns the dma-buf in a slot.
    pub fn buffer(&self, random: &mut Random) -> Option<Arc<DmaBuf>> {
        let buffers = self.buffers.lock().expect("no thread panics");
        buffers[random.below(SLOTS)].clone()
    }

    /// Returns one of the files.
    pub fn file(&self, random: &mut Random) -> &Gntdev {
        &self.files[random.below(FILES)]
    }
}
