// SPDX-License-Identifier: GPL-2.0

//! Buffers of the size of pictures, and frames of the kernel that are not contiguous.

use std::io;

use guest_test::gntdev::Gntdev;
use guest_test::pattern::Pattern;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::granter::Share;
use crate::world::assert_released;
use crate::world::World;

/// Number of pages of a picture of 1920 by 1080 pixels of four bytes.
pub(super) const FULL_HD: usize = 2025;

/// Number of pages of a picture of 3840 by 2176 pixels; video codecs round the height 2160 up so.
pub(super) const ULTRA_HD: usize = 8160;

/// Number of pages that a granter shares at once.
const PAGES_OF_SHARE: usize = 255;

/// Pages of a granter, more than one share has. Each share has a pattern of its own.
pub(in crate::cases) struct Picture {
    shares: Vec<Share>,
    seed: u32,
}

impl Picture {
    /// Gets `pages` pages granted and fills the shares with the patterns of `seed` and the numbers
    /// after it.
    pub(in crate::cases) fn new(world: &mut World, pages: usize, seed: u32) -> io::Result<Self> {
        let mut shares = Vec::new();
        let mut left = pages;
        while left > 0 {
            let share = world.share(left.min(PAGES_OF_SHARE))?;
            world.granter.fill(&share, seed + shares.len() as u32)?;
            left -= share.pages();
            shares.push(share);
        }
        Ok(Self { shares, seed })
    }

    /// Exports all pages as a dma-buf.
    pub(in crate::cases) fn export(
        &self,
        world: &World,
        device: &Gntdev,
        flags: u32,
    ) -> io::Result<DmaBuf> {
        let references: Vec<u32> = self.shares.iter().flat_map(Share::references).collect();
        device.export(flags, world.granter.domid(), &references)
    }

    /// Fails the case unless a program sees the patterns in `buffer`.
    pub(super) fn assert_in(&self, buffer: &DmaBuf, what: &str) -> io::Result<()> {
        let mut first = 0;
        for (seed, share) in (self.seed..).zip(&self.shares) {
            let mapping = buffer.map_part(first, share.pages(), Protection::Read)?;
            let difference = mapping.first_difference(seed);
            assert_eq!(difference, None, "{what}, from page {first} on");
            first += share.pages();
        }
        Ok(())
    }

    /// Writes new patterns to `buffer`, and fails the case unless the granter sees them.
    pub(super) fn assert_written(&mut self, world: &mut World, buffer: &DmaBuf) -> io::Result<()> {
        self.seed += 1000;
        let mut first = 0;
        for (seed, share) in (self.seed..).zip(&self.shares) {
            let mapping = buffer.map_part(first, share.pages(), Protection::ReadWrite)?;
            mapping.fill(seed);
            world.assert_granter_sees(share, seed);
            first += share.pages();
        }
        Ok(())
    }

    /// Fails the case unless all grants end soon.
    pub(super) fn assert_released(&self) {
        // Each look at the grants prints the table of the hypervisor.
        assert_released(&self.grants());
    }

    /// Returns the grants of all pages.
    pub(in crate::cases) fn grants(&self) -> Vec<GrantRef> {
        self.shares
            .iter()
            .flat_map(|share| share.grants.iter().copied())
            .collect()
    }

    /// Returns the bytes of the first `pages` pages of `buffer`.
    pub(super) fn bytes(buffer: &DmaBuf, pages: usize) -> io::Result<Vec<u8>> {
        Ok(buffer
            .map_part(0, pages, Protection::Read)?
            .read_vec(0, pages * PAGE_SIZE))
    }
}

/// Regions that leave the kernel without contiguous free frames, as after weeks of use.
pub(in crate::cases) struct Fragmented {
    _regions: Vec<Mapping>,
    _device: Gntdev,
    _share: Share,
}

impl Fragmented {
    /// Maps 300 regions and unmaps every second of them. The kernel hands their frames out next.
    /// Xen allows 255 mappings of a grant, so the regions have different ones.
    pub(in crate::cases) fn new(world: &mut World) -> io::Result<Self> {
        const REGIONS: usize = 300;
        const PAGES: usize = 5;
        const DIFFERENT: usize = 12;
        let share = world.share(PAGES * DIFFERENT)?;
        let device = Gntdev::open()?;
        let regions: io::Result<Vec<(u64, Mapping)>> = (0..REGIONS)
            .map(|number| {
                let first = number % DIFFERENT * PAGES;
                let index = device.insert(&share.grants[first..first + PAGES])?;
                Ok((index, device.map(index, PAGES, Protection::Read)?))
            })
            .collect();
        let mut kept = Vec::new();
        for (number, (index, mapping)) in regions?.into_iter().enumerate() {
            if number % 2 == 0 {
                kept.push(mapping);
            } else {
                mapping.unmap()?;
                device.remove(index, PAGES as u32)?;
            }
        }
        Ok(Self {
            _regions: kept,
            _device: device,
            _share: share,
        })
    }
}
