// SPDX-License-Identifier: GPL-2.0

//! Exports and imports that a rule begins with.

use std::io;

use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::memory::COHERENT;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::memory_file::MemoryFile;
use xen_grants::GrantRef;
use xen_grants::DOM0;

use crate::granter::grants_of;
use crate::granter::Share;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::World;

/// Reason for which exports, and all that begins with one, fail with Linux's C driver.
pub(super) const NO_EXPORT: &str =
    "refuses exports in PV domains, and asks Xen for device mappings elsewhere";

/// Reason for which data offsets fail with Linux's C driver.
pub(super) const NO_OFFSET: &str = "does not have these requests";

/// Every kind of memory behind an export.
pub(super) const KINDS: [(u32, &str); 3] = [
    (0, "ordinary"),
    (WRITE_COMBINE, "write-combining"),
    (COHERENT, "coherent"),
];

/// Limit for a wait that is to end before, in milliseconds.
pub(super) const LONG: u32 = PATIENCE.as_millis() as u32;

/// Pages of a granter as a dma-buf.
pub(super) struct Exported {
    pub(super) device: Gntdev,
    pub(super) share: Share,
    pub(super) buffer: DmaBuf,
}

/// Gets pages granted, fills them with a pattern and makes a dma-buf of them.
pub(super) fn exported(world: &mut World, pages: usize, seed: u32) -> io::Result<Exported> {
    exported_as(world, 0, pages, seed)
}

/// As [`exported`], with flags that say which kind of memory is behind it.
pub(super) fn exported_as(
    world: &mut World,
    flags: u32,
    pages: usize,
    seed: u32,
) -> io::Result<Exported> {
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
pub(super) struct Imported {
    pub(super) device: Gntdev,
    pub(super) contents: Mapping,
    pub(super) buffer: DmaBuf,
    pub(super) references: Vec<u32>,
}

impl Imported {
    pub(super) fn number(&self) -> u32 {
        self.buffer.number()
    }

    pub(super) fn grants(&self) -> Vec<GrantRef> {
        grants_of(DOM0, &self.references)
    }
}

/// Fills a file in memory with a pattern and grants its pages to the granter's domain.
pub(super) fn imported(world: &World, pages: usize, seed: u32) -> io::Result<Imported> {
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
pub(super) fn file_buffer(pages: usize) -> io::Result<(Mapping, DmaBuf)> {
    let file = MemoryFile::new(pages)?;
    Ok((file.map()?, file.dma_buf()?))
}

/// Fails the case unless the export with this number ends soon, and is unknown from then on.
pub(super) fn assert_ends(device: &Gntdev, number: u32) {
    if let Err(error) = device.wait_released(number, LONG) {
        let expected = Some(ENOENT);
        assert_eq!(error.raw_os_error(), expected, "waiting: {error}");
    }
    let result = device.wait_released(number, 0);
    assert_error(result, ENOENT, "waiting for what has ended");
}

/// Tries `case` with each kind of memory behind the buffer.
pub(super) fn of_all_kinds(world: &mut World, case: fn(&mut World, u32) -> Verdict) -> Verdict {
    for (flags, kind) in KINDS {
        println!("# {kind} memory");
        case(world, flags)?;
    }
    Ok(())
}
