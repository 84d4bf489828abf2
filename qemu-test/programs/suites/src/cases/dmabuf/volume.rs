// SPDX-License-Identifier: GPL-2.0

//! Many dma-bufs, and large ones, leave the machine's state as before.

use std::collections::BTreeSet;

use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::memory::COHERENT;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use guest_test::platform::memory_info;
use guest_test::process::open_files;
use xen_grants::memory_file;
use xen_grants::memory_file::MemoryFile;
use xen_grants::PAGE_SIZE;

use super::buffers::assert_ends;
use super::buffers::file_buffer;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use super::pictures::Picture;
use super::pictures::FULL_HD;
use super::pictures::ULTRA_HD;
use crate::granter::grants_of;
use crate::granter::Access;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::wait::settle;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::settled;
use crate::world::World;

/// In kB. A page lost in each round, or one that a round uses, would show.
const ALLOWED_LOSS: u64 = 2048;

/// State of the system that many rounds must not change.
struct State {
    table: GrantUsage,
    memory: u64,
    files: usize,
}

impl State {
    fn now() -> std::io::Result<Self> {
        Ok(Self {
            table: GrantUsage::read()?,
            memory: memory_info("MemFree")?,
            files: open_files()?,
        })
    }

    fn assert_as_before(&self) -> Verdict {
        let table = settled(|usage| usage.beyond(&self.table).is_empty())?;
        let left = table.beyond(&self.table);
        assert!(left.is_empty(), "left in xen's table: {left}");
        // Single pages that are freed stay in per-CPU lists for a while.
        let lost = || Ok(self.memory.saturating_sub(memory_info("MemFree")?));
        let lost = settle(PATIENCE, lost, |lost| *lost < ALLOWED_LOSS)?;
        assert!(lost < ALLOWED_LOSS, "{lost} kB less memory than before");
        assert_eq!(open_files()?, self.files, "open files");
        Ok(())
    }
}

rules![
    #[rule("1000 exports leave memory, xen's table and files as before")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn export_rounds(world: &mut World) -> Verdict {
        let share = world.share(4)?;
        let references = share.references();
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        repeat(1000, |number| {
            let pages = 1 + number % 4;
            let buffer = device.export(0, domid, &references[..pages])?;
            let mapping = buffer.map(pages)?;
            mapping.write(0, number as u8);
            drop((mapping, buffer));
            Ok(())
        })
    },

    #[rule("250 exports of device memory leave all as before")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn device_memory_rounds(world: &mut World) -> Verdict {
        const PAGES: usize = 4;
        let share = world.share(PAGES)?;
        let references = share.references();
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        repeat(250, |number| {
            let flags = [COHERENT, WRITE_COMBINE][number % 2];
            let buffer = device.export(flags, domid, &references)?;
            let mapping = buffer.map(PAGES)?;
            mapping.write(0, number as u8);
            drop((mapping, buffer));
            Ok(())
        })
    },

    #[rule("1000 imports leave memory, xen's table and files as before")]
    #[long]
    fn import_rounds(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let file = MemoryFile::new(4)?;
        let mut different = BTreeSet::new();
        let mut granted = 0;
        repeat(1000, |number| {
            let pages: Vec<usize> = (0..=number % 4).collect();
            let buffer = file.dma_buf_of(&pages)?;
            let references = device.import(&buffer, domid, pages.len())?;
            granted += references.len();
            different.extend(references);
            device.release_import(buffer.number())?;
            Ok(())
        })?;
        // The kernel allocates the references first that were freed last.
        let different = different.len();
        assert!(
            different < granted / 2,
            "{different} references for {granted} pages"
        );
        Ok(())
    },

    #[rule("64 exports live at once")]
    #[expect_c_differs(NO_EXPORT)]
    fn many_exports(world: &mut World) -> Verdict {
        const BUFFERS: usize = 64;
        let share = world.share(BUFFERS)?;
        world.granter.fill(&share, 1200)?;
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let mut buffers = Vec::new();
        for reference in share.references() {
            buffers.push(device.export(0, domid, &[reference])?);
        }
        let numbers: Vec<u32> = buffers.iter().map(|buffer| buffer.number()).collect();
        for (page, buffer) in buffers.iter().enumerate() {
            let difference = buffer.map(1)?.first_difference_from(page * PAGE_SIZE, 1200);
            assert_eq!(difference, None, "page {page}");
        }
        drop(buffers);
        for number in numbers {
            assert_ends(&device, number);
        }
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("64 imports live at once")]
    fn many_imports(world: &mut World) -> Verdict {
        const BUFFERS: usize = 64;
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let mut held = Vec::new();
        for seed in 0..BUFFERS {
            let (contents, buffer) = file_buffer(2)?;
            contents.fill(seed as u32);
            let references = device.import(&buffer, domid, 2)?;
            held.push((buffer, references));
        }
        for (seed, (_, references)) in held.iter().enumerate().step_by(9) {
            let peer = world.granter.map(references, Access::ReadOnly)?;
            world.assert_granter_sees(&peer, seed as u32);
            world.granter.unshare(peer)?;
        }
        for (buffer, _) in held.iter().rev() {
            device.release_import(buffer.number())?;
            let result = device.release_import(buffer.number());
            assert_error(result, ENOENT, "a second release");
        }
        Ok(())
    },

    /// The granter's domain needs the pages, and some more for itself.
    #[rule("an export of 16384 pages")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn large_export(world: &mut World) -> Verdict {
        const PAGES: usize = 16384;
        const PER_SHARE: usize = 256;
        const SPARE: u64 = 16 << 10;
        let needed = (PAGES * PAGE_SIZE / 1024) as u64 + SPARE;
        // One page first, so that a driver that cannot export says so at once.
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let one = world.share(1)?;
        drop(device.export(0, domid, &one.references())?);
        if world.granter.free_memory()? < needed {
            return skip_case("the granter's domain has too little memory");
        }

        let mut references = Vec::new();
        let mut first = None;
        for number in 0..PAGES / PER_SHARE {
            let share = world.share(PER_SHARE)?;
            world.granter.write(&share, 5, number as u8 + 1)?;
            references.extend(share.references());
            first.get_or_insert(share);
        }
        let buffer = device.export(0, domid, &references)?;
        assert_eq!(buffer.size()?, (PAGES * PAGE_SIZE) as u64);
        let mapping = buffer.map(PAGES)?;
        for number in 0..PAGES / PER_SHARE {
            let at = number * PER_SHARE * PAGE_SIZE + 5;
            assert_eq!(mapping.read(at), number as u8 + 1, "share {number}");
        }
        for page in 0..PAGES {
            let at = page * PAGE_SIZE + page % PAGE_SIZE;
            mapping.write(at, pattern(1201, at));
        }
        for page in 0..PAGES {
            let at = page * PAGE_SIZE + page % PAGE_SIZE;
            assert_eq!(mapping.read(at), pattern(1201, at), "page {page}");
        }
        let first = first.expect("a share");
        let at = 200 * PAGE_SIZE + 200;
        assert_eq!(world.granter.read(&first, at)?, pattern(1201, at));

        let number = buffer.number();
        drop((mapping, buffer));
        assert_ends(&device, number);
        assert_released(&grants_of(domid, &references));
        Ok(())
    },

    #[rule("an export of a picture's size is made of any memory")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn pictures(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for pages in [FULL_HD, ULTRA_HD] {
            let mut picture = Picture::new(world, pages, 1203)?;
            for (flags, kind) in KINDS {
                let what = format!("{pages} pages, {kind} memory");
                let buffer = picture
                    .export(world, &device, flags)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                picture.assert_in(&buffer, &what)?;
                if pages == FULL_HD {
                    picture.assert_written(world, &buffer)?;
                }
                let number = buffer.number();
                drop(buffer);
                assert_ends(&device, number);
                picture.assert_released();
            }
        }
        Ok(())
    },

    #[rule("an import of 16384 pages")]
    #[long]
    fn large_import(world: &mut World) -> Verdict {
        const PAGES: usize = 16384;
        let largest = memory_file::largest_dma_buf()?;
        assert!(
            largest >= PAGES,
            "udmabuf makes buffers of {largest} pages only"
        );
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let files = open_files()?;
        let (contents, buffer) = file_buffer(PAGES)?;
        for page in 0..PAGES {
            let at = page * PAGE_SIZE + page % PAGE_SIZE;
            contents.write(at, pattern(1202, at));
        }
        let references = device.import(&buffer, domid, PAGES)?;
        let mut sorted = references.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), PAGES, "different references");

        let sample: Vec<usize> = (0..PAGES).step_by(511).chain([PAGES - 1]).collect();
        let of_sample: Vec<u32> = sample.iter().map(|page| references[*page]).collect();
        let peer = world.granter.map(&of_sample, Access::ReadWrite)?;
        for (index, page) in sample.iter().enumerate() {
            let at = page % PAGE_SIZE;
            let value = world.granter.read(&peer, index * PAGE_SIZE + at)?;
            let expected = pattern(1202, page * PAGE_SIZE + at);
            assert_eq!(value, expected, "page {page}");
        }
        world.granter.unshare(peer)?;
        device.release_import(buffer.number())?;

        // The same import again, with references that are used a second time.
        let again = device.import(&buffer, domid, PAGES)?;
        assert_eq!(again.len(), PAGES);
        device.release_import(buffer.number())?;
        drop((contents, buffer));
        assert_eq!(open_files()?, files, "open files");
        Ok(())
    }
];

/// Calls `round` until pools and caches are filled, and then `rounds` times, in which nothing may
/// be lost.
fn repeat(rounds: usize, mut round: impl FnMut(usize) -> Verdict) -> Verdict {
    for number in 0..50 {
        round(number)?;
    }
    let before = State::now()?;
    for number in 0..rounds {
        round(number)?;
    }
    before.assert_as_before()
}
