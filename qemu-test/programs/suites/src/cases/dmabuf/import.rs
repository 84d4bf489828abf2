// SPDX-License-Identifier: GPL-2.0

//! The pages of a dma-buf of any exporter are granted. The granter's domain, which is the peer
//! here, finds the buffer's data under the references.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::path::Path;

use guest_test::errno::EBADF;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::Import;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::process::open_files;
use xen_grants::bytes::Bytes;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::dma_heap;
use xen_grants::grant_table::GrantTable;
use xen_grants::memory_file::MemoryFile;
use xen_grants::PAGE_SIZE;

use super::buffers::exported;
use super::buffers::file_buffer;
use super::buffers::imported;
use super::buffers::NO_EXPORT;
use crate::granter::Access;
use crate::random::Random;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("a file in memory is granted by way of udmabuf")]
    fn of_file(world: &mut World) -> Verdict {
        for (pages, seed) in [(1, 800), (2, 802), (64, 804), (512, 806)] {
            let (contents, buffer) = file_buffer(pages)?;
            assert_granted(world, &buffer, &contents, seed)?;
        }
        Ok(())
    },

    /// This heap allocates blocks of many pages; each reference is for one page of a block.
    #[rule("a buffer of the system heap is granted")]
    fn of_heap(world: &mut World) -> Verdict {
        if !Path::new("/dev/dma_heap").exists() {
            return skip_case("this kernel has no dma-buf heaps");
        }
        for (pages, seed) in [(1, 810), (2, 812), (64, 814), (300, 816)] {
            let buffer = dma_heap::allocate(pages)?;
            let contents = buffer.map(pages)?;
            assert_granted(world, &buffer, &contents, seed)?;
        }
        Ok(())
    },

    #[rule("an import by libxengnttab")]
    fn by_library(world: &mut World) -> Verdict {
        let (contents, buffer) = file_buffer(3)?;
        contents.fill(820);
        let table = GrantTable::open()?;
        let import = table.import(world.granter.domid(), &buffer)?;
        assert_distinct(import.references(), 3);
        let peer = world.granter.map(import.references(), Access::ReadOnly)?;
        world.assert_granter_sees(&peer, 820);
        world.granter.unshare(peer)?;
        let references = import.references().to_vec();
        import.release()?;
        let result = world.granter.map(&references, Access::ReadOnly);
        assert!(result.is_err(), "mapped after the release");
        Ok(())
    },

    #[rule("references are in the order of the buffer's pages")]
    fn order(world: &mut World) -> Verdict {
        const PAGES: usize = 32;
        let file = MemoryFile::new(PAGES)?;
        let contents = file.map()?;
        contents.fill(821);
        let mut places: Vec<usize> = (0..PAGES).collect();
        Random::new(14).shuffle(&mut places);
        let buffer = file.dma_buf_of(&places)?;
        let device = Gntdev::open()?;
        let references = device.import(&buffer, world.granter.domid(), PAGES)?;

        let peer = world.granter.map(&references, Access::ReadOnly)?;
        for (index, place) in places.iter().enumerate() {
            for at in [0, 1234, PAGE_SIZE - 1] {
                let value = world.granter.read(&peer, index * PAGE_SIZE + at)?;
                let expected = contents.read(place * PAGE_SIZE + at);
                assert_eq!(value, expected, "page {place} in place {index}, byte {at}");
            }
        }
        world.granter.unshare(peer)?;
        Ok(())
    },

    #[rule("the peer reads and writes the buffer's memory")]
    fn both_ways(world: &mut World) -> Verdict {
        let held = imported(world, 4, 822)?;
        let peer = world.granter.map(&held.references, Access::ReadWrite)?;
        world.assert_granter_sees(&peer, 822);
        for seed in [823, 825, 827] {
            held.contents.fill(seed);
            world.assert_granter_sees(&peer, seed);
            world.granter.fill(&peer, seed + 1)?;
            assert_eq!(held.contents.first_difference(seed + 1), None);
        }
        world.granter.unshare(peer)?;
        assert_released(&held.grants());
        Ok(())
    },

    #[rule("a part of the pages is mapped by the peer")]
    fn part_mapped(world: &mut World) -> Verdict {
        let held = imported(world, 8, 830)?;
        let peer = world
            .granter
            .map(&held.references[5..6], Access::ReadWrite)?;
        for at in [0, 99, PAGE_SIZE - 1] {
            let expected = held.contents.read(5 * PAGE_SIZE + at);
            assert_eq!(world.granter.read(&peer, at)?, expected, "byte {at}");
        }
        world.granter.unshare(peer)?;
        Ok(())
    },

    #[rule("an import opens no file")]
    fn opens_no_file(world: &mut World) -> Verdict {
        let (_, buffer) = file_buffer(2)?;
        let device = Gntdev::open()?;
        let before = open_files()?;
        device.import(&buffer, world.granter.domid(), 2)?;
        assert_eq!(open_files()?, before, "after the import");
        device.release_import(buffer.number())?;
        assert_eq!(open_files()?, before, "after the release");
        Ok(())
    },

    #[rule("a wrong number of pages is EINVAL")]
    fn wrong_count(world: &mut World) -> Verdict {
        let (contents, buffer) = file_buffer(4)?;
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        for count in [1, 3, 5, 8, 512] {
            let result = device.import(&buffer, domid, count);
            assert_error(result, EINVAL, &format!("{count} of 4 pages"));
            let result = device.release_import(buffer.number());
            assert_error(result, ENOENT, "releasing it");
        }
        assert_granted(world, &buffer, &contents, 831)
    },

    #[rule("a descriptor that is no dma-buf is EINVAL")]
    fn no_buffer(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        let file = File::open("/proc/self/status")?;
        let memory = MemoryFile::new(1)?;
        let descriptors = [
            ("a file", file.as_raw_fd()),
            ("a file in memory", memory.as_fd().as_raw_fd()),
            ("the device itself", device.file().as_raw_fd()),
        ];
        for (name, number) in descriptors {
            let result = device.import_claiming(&import_of(number as u32, domid));
            assert_error(result, EINVAL, name);
            assert_error(device.release_import(number as u32), ENOENT, name);
        }
        Ok(())
    },

    #[rule("a number that is no open file is EBADF")]
    fn no_file(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        for number in [777, i32::MAX as u32, 1 << 31, u32::MAX] {
            let result = device.import_claiming(&import_of(number, domid));
            assert_error(result, EBADF, &format!("number {number:#x}"));
        }
        Ok(())
    },

    /// The library does not set it.
    #[rule("the reserved word has no meaning")]
    fn reserved_word(world: &mut World) -> Verdict {
        let (contents, buffer) = file_buffer(1)?;
        contents.fill(832);
        let device = Gntdev::open()?;
        for reserved in [1, 0x8000_0000, u32::MAX] {
            let references = device.import_claiming(&Import {
                reserved,
                ..import_of(buffer.number(), world.granter.domid())
            })?;
            let peer = world.granter.map(&references, Access::ReadOnly)?;
            world.assert_granter_sees(&peer, 832);
            world.granter.unshare(peer)?;
            device.release_import(buffer.number())?;
        }
        Ok(())
    },

    #[rule("a second release is ENOENT")]
    fn released_twice(world: &mut World) -> Verdict {
        let held = imported(world, 2, 833)?;
        held.device.release_import(held.number())?;
        for _ in 0..2 {
            let result = held.device.release_import(held.number());
            assert_error(result, ENOENT, "another release");
        }
        let domid = world.granter.domid();
        held.device.import(&held.buffer, domid, 2)?;
        held.device.release_import(held.number())?;
        Ok(())
    },

    #[rule("a release of what was never imported is ENOENT")]
    fn never_imported(_: &mut World) -> Verdict {
        let (_, buffer) = file_buffer(1)?;
        let device = Gntdev::open()?;
        for number in [buffer.number(), 0, 777, i32::MAX as u32, u32::MAX] {
            let result = device.release_import(number);
            assert_error(result, ENOENT, &format!("number {number:#x}"));
        }
        Ok(())
    },

    #[rule("an export cannot be released as an import")]
    #[expect_c_differs(NO_EXPORT)]
    fn release_of_export(world: &mut World) -> Verdict {
        let held = exported(world, 1, 834)?;
        let result = held.device.release_import(held.buffer.number());
        assert_error(result, ENOENT, "an export's number");
        assert_eq!(held.buffer.map(1)?.first_difference(834), None);
        Ok(())
    },

    #[rule("another file's import is ENOENT")]
    fn other_file(world: &mut World) -> Verdict {
        let held = imported(world, 1, 835)?;
        let other = Gntdev::open()?;
        let result = other.release_import(held.number());
        assert_error(result, ENOENT, "on a file that did not import");
        held.device.release_import(held.number())?;
        Ok(())
    },

    /// The import holds a reference to the buffer; the descriptor's number only names it.
    #[rule("an import survives the close of its buffer")]
    fn buffer_closed_first(world: &mut World) -> Verdict {
        let held = imported(world, 3, 836)?;
        let number = held.number();
        let grants = held.grants();
        drop((held.buffer, held.contents));
        let peer = world.granter.map(&held.references, Access::ReadOnly)?;
        world.assert_granter_sees(&peer, 836);
        world.granter.unshare(peer)?;
        held.device.release_import(number)?;
        assert_error(held.device.release_import(number), ENOENT, "once more");
        assert_released(&grants);
        Ok(())
    },

    #[rule("one buffer is imported twice in one file")]
    fn twice_in_one_file(world: &mut World) -> Verdict {
        let held = imported(world, 4, 837)?;
        let domid = world.granter.domid();
        let second = held.device.import(&held.buffer, domid, 4)?;
        assert_disjoint(&held.references, &second);
        for references in [&held.references, &second] {
            let peer = world.granter.map(references, Access::ReadOnly)?;
            world.assert_granter_sees(&peer, 837);
            world.granter.unshare(peer)?;
        }

        held.device.release_import(held.number())?;
        assert!(
            world.granter.map(&second, Access::ReadOnly).is_err(),
            "the newest of one number is not released first"
        );
        let peer = world.granter.map(&held.references, Access::ReadOnly)?;
        world.assert_granter_sees(&peer, 837);
        world.granter.unshare(peer)?;

        held.device.release_import(held.number())?;
        let result = held.device.release_import(held.number());
        assert_error(result, ENOENT, "a third release");
        Ok(())
    },

    #[rule("one buffer is imported by two files")]
    fn by_two_files(world: &mut World) -> Verdict {
        let held = imported(world, 4, 838)?;
        let other = Gntdev::open()?;
        let second = other.import(&held.buffer, world.granter.domid(), 4)?;
        assert_disjoint(&held.references, &second);

        held.device.release_import(held.number())?;
        assert!(
            world
                .granter
                .map(&held.references, Access::ReadOnly)
                .is_err(),
            "the released ones can be mapped"
        );
        let peer = world.granter.map(&second, Access::ReadWrite)?;
        world.granter.fill(&peer, 839)?;
        assert_eq!(held.contents.first_difference(839), None);
        world.granter.unshare(peer)?;
        other.release_import(held.number())?;
        Ok(())
    },

    #[rule("a duplicate is an import of its own")]
    fn duplicate(world: &mut World) -> Verdict {
        let held = imported(world, 2, 840)?;
        let duplicate = held.buffer.try_clone()?;
        let references = held.device.import(&duplicate, world.granter.domid(), 2)?;
        assert_disjoint(&held.references, &references);

        held.device.release_import(held.number())?;
        let peer = world.granter.map(&references, Access::ReadOnly)?;
        world.assert_granter_sees(&peer, 840);
        world.granter.unshare(peer)?;
        let result = held.device.release_import(held.number());
        assert_error(result, ENOENT, "the first number once more");
        held.device.release_import(duplicate.number())?;
        Ok(())
    },

    #[rule("released references cannot be mapped")]
    fn released_references(world: &mut World) -> Verdict {
        let held = imported(world, 3, 841)?;
        held.device.release_import(held.number())?;
        for reference in &held.references {
            let result = world.granter.map(&[*reference], Access::ReadOnly);
            assert!(result.is_err(), "reference {reference} still grants");
        }
        assert_released(&held.grants());
        Ok(())
    },

    #[rule("the close of the device ends all grants")]
    fn close_releases(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let mut held = Vec::new();
        for pages in 1..=5 {
            let (contents, buffer) = file_buffer(pages)?;
            let references = device.import(&buffer, domid, pages)?;
            held.push((contents, buffer, references));
        }
        drop(device);
        for (_, _, references) in &held {
            for reference in references {
                let result = world.granter.map(&[*reference], Access::ReadOnly);
                assert!(result.is_err(), "reference {reference} still grants");
            }
        }
        Ok(())
    }
];

/// Imports `buffer`, whose memory is `contents`, and has the peer look at it.
fn assert_granted(world: &mut World, buffer: &DmaBuf, contents: &Bytes, seed: u32) -> Verdict {
    let device = Gntdev::open()?;
    contents.fill(seed);
    let references = device.import(buffer, world.granter.domid(), contents.pages())?;
    assert_distinct(&references, contents.pages());

    let peer = world.granter.map(&references, Access::ReadWrite)?;
    world.assert_granter_sees(&peer, seed);
    world.granter.fill(&peer, seed + 1)?;
    world.granter.unshare(peer)?;
    assert_eq!(contents.first_difference(seed + 1), None, "the peer's data");
    device.release_import(buffer.number())?;
    Ok(())
}

fn assert_distinct(references: &[u32], pages: usize) {
    let different: BTreeSet<u32> = references.iter().copied().collect();
    assert_eq!(different.len(), pages, "references {references:?}");
    // The first ones are Xen's own.
    let first = different.first().copied();
    assert!(first >= Some(8), "references {references:?}");
    assert!(!different.contains(&u32::MAX), "references {references:?}");
}

fn import_of(number: u32, domid: u32) -> Import {
    Import {
        number,
        count: 1,
        domid,
        reserved: 0,
    }
}

fn assert_disjoint(first: &[u32], second: &[u32]) {
    let common = first.iter().find(|reference| second.contains(reference));
    assert_eq!(common, None, "a reference of both imports");
}
