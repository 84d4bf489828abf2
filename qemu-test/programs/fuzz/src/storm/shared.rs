// SPDX-License-Identifier: GPL-2.0

//! Things that all threads use, by slots.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;

use guest_test::gntdev::Gntdev;
use guest_test::mapping;
use suites::random::Random;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

/// Number of open files of the device.
pub const FILES: usize = 2;
/// Number of slots for regions, for mappings and for dma-bufs.
pub const SLOTS: usize = 6;
/// Number of pages of a share.
pub const PAGES: usize = 4;

/// Region of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Index of the file.
    pub file: usize,
    /// Offset in the file, in bytes.
    pub index: u64,
    /// Number of pages.
    pub count: usize,
}

/// Regions by slot, in memory that all processes share.
pub struct Regions(Mapping);

impl Regions {
    const FILE_BITS: u32 = 4;
    const COUNT_BITS: u32 = 4;

    /// No region.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn new() -> io::Result<Self> {
        mapping::shared(1).map(Self)
    }

    fn word(&self, slot: usize) -> &AtomicU32 {
        self.0.word(slot * size_of::<u32>())
    }

    /// Puts a region into a slot.
    pub fn put(&self, slot: usize, region: Region) {
        let Region { file, index, count } = region;
        let page = (index / PAGE_SIZE as u64) as u32;
        let sized = (page << Self::COUNT_BITS) | count as u32;
        let word = (sized << Self::FILE_BITS) | file as u32;
        self.word(slot).store(word, Ordering::Relaxed);
    }

    /// Returns the region in a slot.
    pub fn get(&self, slot: usize) -> Option<Region> {
        let word = self.word(slot).load(Ordering::Relaxed);
        let low = |word: u32, bits: u32| (word & ((1 << bits) - 1)) as usize;
        let rest = word >> Self::FILE_BITS;
        let count = low(rest, Self::COUNT_BITS);
        (count != 0).then_some(Region {
            file: low(word, Self::FILE_BITS),
            index: u64::from(rest >> Self::COUNT_BITS) * PAGE_SIZE as u64,
            count,
        })
    }
}

/// Things that all threads use.
pub struct Shared {
    /// Files of the device.
    pub files: [Gntdev; FILES],
    /// Grants of all shares.
    pub grants: RwLock<Vec<GrantRef>>,
    /// Regions, also removed ones.
    pub regions: Regions,
    /// Mappings.
    pub mappings: Mutex<[Option<Arc<Mapping>>; SLOTS]>,
    /// Exported dma-bufs.
    pub buffers: Mutex<[Option<Arc<DmaBuf>>; SLOTS]>,
    /// Event channel to send to.
    pub port: u32,
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
        self.regions.get(random.below(SLOTS))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_survives_the_journey() {
        let regions = Regions::new().unwrap();
        let region = Region {
            file: FILES - 1,
            index: 77 * PAGE_SIZE as u64,
            count: PAGES,
        };
        regions.put(SLOTS - 1, region);
        assert_eq!(regions.get(SLOTS - 1), Some(region));
        assert_eq!(regions.get(0), None);
    }
}
