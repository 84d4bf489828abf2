// SPDX-License-Identifier: GPL-2.0

//! What is measured.

use std::io;
use std::time::Instant;

use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::pattern::Pattern;
use suites::granter::Access;
use suites::granter::Granter;
use suites::local::LocalGranter;
use suites::remote::RemoteGranter;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::OKAY;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::memory_file::MemoryFile;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

/// A line of the table.
pub struct Line {
    /// Its name, without spaces.
    pub name: &'static str,
    /// How often it is done for one sample.
    pub count: usize,
    /// What the time is divided by: segments in a call.
    pub units: usize,
    /// What a domain and its driver must be able to do.
    pub needs: Needs,
    /// Does it so many times and returns the nanoseconds for one unit.
    pub measure: fn(&Setup, usize) -> io::Result<f64>,
}

/// What a line needs that not every domain and driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The grants must be mapped.
    Maps,
    /// The grants must be mapped and become a dma-buf.
    Exports,
}

/// Segments in a call.
const SEGMENTS: usize = 256;

/// All lines, in the order of the table.
pub const LINES: &[Line] = &[
    Line {
        name: "copy-from-64",
        count: 100,
        units: SEGMENTS,
        needs: Needs::Nothing,
        measure: |setup, count| setup.copy(count, Direction::FromGrant, 64, 64),
    },
    Line {
        name: "copy-to-64",
        count: 100,
        units: SEGMENTS,
        needs: Needs::Nothing,
        measure: |setup, count| setup.copy(count, Direction::ToGrant, 64, 64),
    },
    Line {
        name: "copy-from-64-scattered",
        count: 100,
        units: SEGMENTS,
        needs: Needs::Nothing,
        measure: |setup, count| setup.copy(count, Direction::FromGrant, 64, 2 * PAGE_SIZE),
    },
    Line {
        name: "copy-from-4096",
        count: 40,
        units: SEGMENTS,
        needs: Needs::Nothing,
        measure: |setup, count| setup.copy(count, Direction::FromGrant, PAGE_SIZE, PAGE_SIZE),
    },
    Line {
        name: "copy-to-4096",
        count: 40,
        units: SEGMENTS,
        needs: Needs::Nothing,
        measure: |setup, count| setup.copy(count, Direction::ToGrant, PAGE_SIZE, PAGE_SIZE),
    },
    Line {
        name: "map-unmap-1",
        count: 200,
        units: 1,
        needs: Needs::Maps,
        measure: |setup, count| setup.map_and_unmap(count, 1),
    },
    Line {
        name: "map-unmap-64",
        count: 40,
        units: 1,
        needs: Needs::Maps,
        measure: |setup, count| setup.map_and_unmap(count, 64),
    },
    Line {
        name: "map-unmap-512",
        count: 10,
        units: 1,
        needs: Needs::Maps,
        measure: |setup, count| setup.map_and_unmap(count, 512),
    },
    Line {
        name: "insert-among-100",
        count: 400,
        units: 1,
        needs: Needs::Nothing,
        measure: |setup, count| setup.insert_among(count, 100),
    },
    Line {
        name: "insert-among-4000",
        count: 400,
        units: 1,
        needs: Needs::Nothing,
        measure: |setup, count| setup.insert_among(count, 4000),
    },
    Line {
        name: "import-8",
        count: 100,
        units: 1,
        needs: Needs::Nothing,
        measure: |setup, count| setup.import_and_release(count, 8),
    },
    Line {
        name: "import-64",
        count: 40,
        units: 1,
        needs: Needs::Nothing,
        measure: |setup, count| setup.import_and_release(count, 64),
    },
    Line {
        name: "import-512",
        count: 10,
        units: 1,
        needs: Needs::Nothing,
        measure: |setup, count| setup.import_and_release(count, 512),
    },
    Line {
        name: "export-8",
        count: 100,
        units: 1,
        needs: Needs::Exports,
        measure: |setup, count| setup.export_and_release(count, 8),
    },
    Line {
        name: "export-64",
        count: 40,
        units: 1,
        needs: Needs::Exports,
        measure: |setup, count| setup.export_and_release(count, 64),
    },
    Line {
        name: "export-512",
        count: 10,
        units: 1,
        needs: Needs::Exports,
        measure: |setup, count| setup.export_and_release(count, 512),
    },
];

/// Which end of a copy is the grant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    FromGrant,
    ToGrant,
}

/// How many pages are granted for the lines to work with.
const PAGES: usize = 512;

/// A granter in another domain answers with a list of references, which is not
/// to become longer than xenstore takes.
const PAGES_IN_A_SHARE: usize = 256;

/// Longer than any release takes, in milliseconds.
const RELEASE_LIMIT: u32 = 20_000;

/// What all lines work with.
pub struct Setup {
    /// The grants are this one's.
    _granter: Box<dyn Granter>,
    grants: Vec<GrantRef>,
    local: Mapping,
    buffers: Vec<(usize, DmaBuf)>,
}

impl Setup {
    /// Pages of this domain, granted to itself, and memory to work with.
    pub fn new() -> io::Result<Self> {
        Self::with_grants_of(Box::new(LocalGranter::new(DOM0, DOM0)?))
    }

    /// Pages of the domU, which runs program `granter`, granted to this domain.
    pub fn of_domu() -> io::Result<Self> {
        let domid = RemoteGranter::domid_of_domu()?;
        Self::with_grants_of(Box::new(RemoteGranter::connect(domid)?))
    }

    fn with_grants_of(mut granter: Box<dyn Granter>) -> io::Result<Self> {
        let mut grants = Vec::new();
        while grants.len() < PAGES {
            let share = granter.share(PAGES_IN_A_SHARE, Access::ReadWrite)?;
            granter.fill(&share, 1)?;
            grants.extend(share.grants);
        }
        let local = Mapping::anonymous(2 * SEGMENTS, Protection::ReadWrite)?;
        local.fill(2);
        let buffers = [8, 64, 512]
            .into_iter()
            .map(|pages| Ok((pages, MemoryFile::new(pages)?.dma_buf()?)))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            _granter: granter,
            grants,
            local,
            buffers,
        })
    }

    /// Copies segments of `length` bytes, which lie next to each other in
    /// granted pages, and `stride` bytes apart in local memory.
    fn copy(
        &self,
        count: usize,
        direction: Direction,
        length: usize,
        stride: usize,
    ) -> io::Result<f64> {
        let segments: Vec<Segment<'_>> = (0..SEGMENTS)
            .map(|number| {
                let at = number * length;
                let grant = self.grants[at / PAGE_SIZE];
                let grant = End::Grant(grant, (at % PAGE_SIZE) as u16);
                let local = End::Local(&self.local, number * stride);
                let (source, destination) = match direction {
                    Direction::FromGrant => (grant, local),
                    Direction::ToGrant => (local, grant),
                };
                Segment {
                    source,
                    destination,
                    length: length as u16,
                }
            })
            .collect();
        let device = Gntdev::open()?;
        let mut prepared = device.prepare_copy(&segments);
        let begin = Instant::now();
        for _ in 0..count {
            prepared.copy()?;
        }
        let elapsed = begin.elapsed();
        if prepared.statuses().any(|status| status != OKAY) {
            return Err(io::Error::other("a segment was not copied"));
        }
        Ok(elapsed.as_nanos() as f64 / (count * SEGMENTS) as f64)
    }

    fn map_and_unmap(&self, count: usize, pages: usize) -> io::Result<f64> {
        let device = Gntdev::open()?;
        let begin = Instant::now();
        for _ in 0..count {
            let index = device.insert(&self.grants[..pages])?;
            let mapping = device.map(index, pages, Protection::ReadWrite)?;
            mapping.unmap()?;
            device.remove(index, pages as u32)?;
        }
        Ok(begin.elapsed().as_nanos() as f64 / count as f64)
    }

    /// Inserts into a file that has `regions` regions, behind all of them.
    fn insert_among(&self, count: usize, regions: usize) -> io::Result<f64> {
        let device = Gntdev::open()?;
        for _ in 0..regions {
            device.insert(&self.grants[..1])?;
        }
        let mut elapsed = 0;
        for _ in 0..count {
            let begin = Instant::now();
            let index = device.insert(&self.grants[..1])?;
            elapsed += begin.elapsed().as_nanos();
            device.remove(index, 1)?;
        }
        Ok(elapsed as f64 / count as f64)
    }

    /// Grants the pages of a dma-buf that udmabuf made, and ends the grants.
    /// Nobody has to map them, so they are for this domain itself.
    fn import_and_release(&self, count: usize, pages: usize) -> io::Result<f64> {
        let (_, buffer) = self
            .buffers
            .iter()
            .find(|(size, _)| *size == pages)
            .ok_or_else(|| io::Error::other(format!("no buffer has {pages} pages")))?;
        let device = Gntdev::open()?;
        let begin = Instant::now();
        for _ in 0..count {
            device.import(buffer, DOM0, pages)?;
            device.release_import(buffer.number())?;
        }
        Ok(begin.elapsed().as_nanos() as f64 / count as f64)
    }

    /// Makes a dma-buf of grants, closes it and waits until they are unmapped.
    fn export_and_release(&self, count: usize, pages: usize) -> io::Result<f64> {
        let grants = &self.grants[..pages];
        let domid = grants[0].domid;
        let references: Vec<u32> = grants.iter().map(|grant| grant.reference).collect();
        let device = Gntdev::open()?;
        let begin = Instant::now();
        for _ in 0..count {
            let buffer = device.export(0, domid, &references)?;
            let number = buffer.number();
            drop(buffer);
            wait_released(&device, number)?;
        }
        Ok(begin.elapsed().as_nanos() as f64 / count as f64)
    }
}

/// Waits until a closed export has ended. One that ended before is unknown.
pub fn wait_released(device: &Gntdev, number: u32) -> io::Result<()> {
    match device.wait_released(number, RELEASE_LIMIT) {
        Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(()),
        result => result,
    }
}
