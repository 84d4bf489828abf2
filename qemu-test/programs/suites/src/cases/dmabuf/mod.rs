// SPDX-License-Identifier: GPL-2.0

//! The rules of dma-bufs: exports, which are made of granted pages, and
//! imports, whose pages are granted.

use std::io;

use xen_guest::dma_buf::DmaBuf;
use xen_guest::errno::ENOENT;
use xen_guest::gntdev::Gntdev;
use xen_guest::gntdev::GrantRef;
use xen_guest::grant_dma_buf::memory::COHERENT;
use xen_guest::grant_dma_buf::memory::WRITE_COMBINE;
use xen_guest::mapping::Mapping;
use xen_guest::memory_file::MemoryFile;

use crate::granter::grants_of;
use crate::granter::Share;
use crate::suite::Rule;
use crate::world::assert_error;
use crate::world::World;
use crate::world::DOM0;

pub mod arguments;
pub mod card;
pub mod export;
pub mod import;
pub mod lifetime;
pub mod mapping;
pub mod notice;
pub mod offset;
pub mod peer;
pub mod threads;
pub mod visibility;
pub mod volume;
pub mod wait;

/// The rules that hold whoever grants.
pub fn of_any_granter() -> Vec<&'static Rule> {
    [
        export::RULES,
        mapping::RULES,
        wait::RULES,
        notice::RULES,
        lifetime::RULES,
        arguments::RULES,
        import::RULES,
        peer::RULES,
        offset::RULES,
        threads::RULES,
        visibility::RULES,
        volume::RULES,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The rules that take a graphics card.
pub fn of_card() -> Vec<&'static Rule> {
    card::RULES.iter().collect()
}

/// Why nothing that begins with an export works with Linux's own driver.
const NO_EXPORT: &str = "refuses exports in PV domains, and asks Xen for device mappings elsewhere";

/// Why nothing works there that has a data offset.
const NO_OFFSET: &str = "does not have these requests";

/// Every kind of memory behind an export.
const KINDS: [(u32, &str); 3] = [
    (0, "ordinary"),
    (WRITE_COMBINE, "write-combining"),
    (COHERENT, "coherent"),
];

/// No grant table is as long as this.
const BEYOND_TABLE: u32 = 0x00ff_fff0;

/// Longer than any release takes, in milliseconds.
const LONG: u32 = 20_000;

/// Pages of a granter as a dma-buf.
struct Exported {
    device: Gntdev,
    share: Share,
    buffer: DmaBuf,
}

/// Gets pages granted, fills them with a pattern and makes a dma-buf of them.
fn exported(world: &mut World, pages: usize, seed: u32) -> io::Result<Exported> {
    exported_as(world, 0, pages, seed)
}

/// As [`exported`], with flags that say which kind of memory is behind it.
fn exported_as(world: &mut World, flags: u32, pages: usize, seed: u32) -> io::Result<Exported> {
    let share = world.share(pages)?;
    world.granter.fill(&share, seed)?;
    let device = Gntdev::open()?;
    let buffer = device.export(flags, world.granter.domid(), &share.references())?;
    Ok(Exported {
        device,
        share,
        buffer,
    })
}

/// A file in memory as a dma-buf whose pages are granted.
struct Imported {
    device: Gntdev,
    contents: Mapping,
    buffer: DmaBuf,
    references: Vec<u32>,
}

impl Imported {
    fn number(&self) -> u32 {
        self.buffer.number()
    }

    fn grants(&self) -> Vec<GrantRef> {
        grants_of(DOM0, &self.references)
    }
}

/// Fills a file in memory with a pattern and grants its pages to the granter's
/// domain.
fn imported(world: &World, pages: usize, seed: u32) -> io::Result<Imported> {
    let (contents, buffer) = file_buffer(pages)?;
    contents.fill(seed);
    let device = Gntdev::open()?;
    let references = device.import(&buffer, world.granter.domid(), pages)?;
    Ok(Imported {
        device,
        contents,
        buffer,
        references,
    })
}

/// A file in memory, mapped, and a dma-buf of it.
fn file_buffer(pages: usize) -> io::Result<(Mapping, DmaBuf)> {
    let file = MemoryFile::new(pages)?;
    Ok((file.map()?, file.buffer()?))
}

/// Fails the case unless the export with this number ends soon, and is unknown
/// from then on.
fn assert_ends(device: &Gntdev, number: u32) {
    if let Err(error) = device.wait_released(number, LONG) {
        let expected = Some(ENOENT);
        assert_eq!(error.raw_os_error(), expected, "waiting: {error}");
    }
    let result = device.wait_released(number, 0);
    assert_error(result, ENOENT, "waiting for what has ended");
}
