// SPDX-License-Identifier: GPL-2.0

//! Operations to measure, one in each line of the table.

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

/// Line of the table.
pub struct Line {
    /// Name of the line, without spaces.
    pub name: &'static str,
    /// Number of repetitions in a sample.
    pub count: usize,
    /// Number of units in one operation: segments in a call.
    pub units: usize,
    /// Requirements on the domain and its driver.
    pub needs: Needs,
    /// Repeats the operation the given number of times and returns the nanoseconds for one unit.
    pub measure: fn(&Setup, usize) -> io::Result<f64>,
}

/// Requirement of a line that not every domain and driver meets.
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

/// End of a copy that is a grant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    FromGrant,
    ToGrant,
}

/// Number of granted pages.
const PAGES: usize = 512;

/// Maximum number of pages of one request to a granter in another domain, whose answer is a list of
/// references that must fit in a xenstore node.
const PAGES_IN_A_SHARE: usize = 256;

/// Limit for the wait for a release, in milliseconds; no release takes so long.
const RELEASE_LIMIT: u32 = 20_000;

/// Resources of all lines.
pub struct Setup {
    /// Owner of the granted pages.
    _granter: Box<dyn Granter>,
    grants: Vec<GrantRef>,
    local: Mapping,
    buffers: Vec<(usize, DmaBuf)>,
}

impl Setup {
    /// Makes a setup with pages that this domain grants to itself.
    pub fn new() -> io::Result<Self> {
        Self::with_grants_of(Box::new(LocalGranter::new(DOM0, DOM0)?))
    }

    /// Makes a setup with pages that the domU, which runs the program `granter`, grants to this
    /// domain.
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

    /// Copies segments of `length` bytes, which are adjacent in granted pages, and `stride` bytes
    /// apart in local memory.
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

    /// Adds regions to a file that already has `regions` regions, behind all of them.
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

    /// Grants the pages of a dma-buf of udmabuf, and ends the grants. No other domain has to map
    /// them, so they are granted to this domain itself.
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

    /// Exports grants as a dma-buf, closes it and waits until they are unmapped.
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

/// Waits for the release of a closed export. One that was released earlier is unknown to the
/// device.
pub fn wait_released(device: &Gntdev, number: u32) -> io::Result<()> {
    match device.wait_released(number, RELEASE_LIMIT) {
        Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(()),
        result => result,
    }
}
