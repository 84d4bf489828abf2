// SPDX-License-Identifier: GPL-2.0

//! A granter in the process of the suite itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use guest_test::gntdev::Gntdev;
use guest_test::pattern::Pattern;
use guest_test::platform::memory_info;
use xen_grants::bytes::Bytes;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_share::Access;
use xen_grants::grant_share::GrantShare;
use xen_grants::grant_share::SharedPages;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::memory_file::MemoryFile;

use crate::granter::grants_of;
use crate::granter::Granter;
use crate::granter::Share;
use crate::own_grants;

/// Limit of gntalloc, in pages: the number that the largest case needs, and some for other
/// programs.
const LIMIT_FILE: &str = "/sys/module/xen_gntalloc/parameters/limit";
const LIMIT: u32 = 16384 + 1024;

/// Sets the limit of gntalloc to the number of pages that the suites need.
pub fn raise_page_limit() -> io::Result<()> {
    fs::write(LIMIT_FILE, LIMIT.to_string())
}

/// Grants this domain's pages to one other domain, or to itself, and maps what that one grants.
pub struct LocalGranter {
    allocator: GrantShare,
    domid: u32,
    mapper: u32,
    pieces: BTreeMap<usize, Piece>,
    next_id: usize,
}

/// Memory that a granter was asked for.
enum Piece {
    /// Pages that are granted.
    Shared(SharedPages),
    /// Pages of a file that are granted by way of a dma-buf.
    Imported(ImportedFile),
    /// Pages of the other domain. They are unmapped before their file is closed, as most programs
    /// do.
    Mapped { mapping: Mapping, _device: Gntdev },
    /// Pages of the other domain as a dma-buf.
    Exported { mapping: Mapping, _buffer: DmaBuf },
}

/// A file in memory whose pages are granted for as long as this lives.
struct ImportedFile {
    contents: Mapping,
    buffer: DmaBuf,
    device: Gntdev,
}

impl Drop for ImportedFile {
    fn drop(&mut self) {
        // If this fails, closing the device ends the grants.
        let _ = self.device.release_import(self.buffer.number());
    }
}

impl LocalGranter {
    /// Domain `domid`, which this program runs in, grants to domain `mapper`.
    pub fn new(domid: u32, mapper: u32) -> io::Result<Self> {
        raise_page_limit()?;
        Ok(Self {
            allocator: GrantShare::open()?,
            domid,
            mapper,
            pieces: BTreeMap::new(),
            next_id: 0,
        })
    }

    /// The memory of the piece with number `id`.
    pub fn bytes(&self, id: usize) -> io::Result<&Bytes> {
        let piece = self.pieces.get(&id).ok_or_else(|| no_piece(id))?;
        Ok(match piece {
            Piece::Shared(pages) => pages,
            Piece::Imported(file) => &file.contents,
            Piece::Mapped { mapping, .. } | Piece::Exported { mapping, .. } => mapping,
        })
    }

    /// Gives up the piece with number `id`.
    pub fn end(&mut self, id: usize) -> io::Result<()> {
        self.pieces
            .remove(&id)
            .map(drop)
            .ok_or_else(|| no_piece(id))
    }

    /// Gives up all pieces.
    pub fn end_all(&mut self) {
        self.pieces.clear();
    }

    fn insert(&mut self, piece: Piece) -> usize {
        let id = self.next_id;
        self.next_id += 1;
        self.pieces.insert(id, piece);
        id
    }
}

fn no_piece(id: usize) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no piece {id}"))
}

impl Granter for LocalGranter {
    fn domid(&self) -> u32 {
        self.domid
    }

    fn share(&mut self, pages: usize, access: Access) -> io::Result<Share> {
        let shared = self.allocator.share(self.mapper, pages, access)?;
        let grants = grants_of(self.domid, shared.references());
        let id = self.insert(Piece::Shared(shared));
        Ok(Share { id, grants })
    }

    fn share_file(&mut self, pages: usize) -> io::Result<Share> {
        let file = MemoryFile::new(pages)?;
        let contents = file.map()?;
        let buffer = file.dma_buf()?;
        let device = Gntdev::open()?;
        let references = device.import(&buffer, self.mapper, pages)?;
        let id = self.insert(Piece::Imported(ImportedFile {
            contents,
            buffer,
            device,
        }));
        let grants = grants_of(self.domid, &references);
        Ok(Share { id, grants })
    }

    fn map(&mut self, references: &[u32], access: Access) -> io::Result<Share> {
        let grants = grants_of(self.mapper, references);
        let protection = match access {
            Access::ReadOnly => Protection::Read,
            Access::ReadWrite => Protection::ReadWrite,
        };
        let device = Gntdev::open()?;
        let index = device.insert(&grants)?;
        let mapping = device.map(index, grants.len(), protection)?;
        let id = self.insert(Piece::Mapped {
            mapping,
            _device: device,
        });
        Ok(Share { id, grants })
    }

    fn export(&mut self, references: &[u32], flags: u32) -> io::Result<Share> {
        let buffer = Gntdev::open()?.export(flags, self.mapper, references)?;
        let mapping = buffer.map(references.len())?;
        let grants = grants_of(self.mapper, references);
        let id = self.insert(Piece::Exported {
            mapping,
            _buffer: buffer,
        });
        Ok(Share { id, grants })
    }

    fn map_own(&mut self) -> io::Result<Vec<i32>> {
        own_grants::errors(self.domid)
    }

    fn free_memory(&mut self) -> io::Result<u64> {
        memory_info("MemFree")
    }

    fn fill(&mut self, share: &Share, seed: u32) -> io::Result<()> {
        self.bytes(share.id)?.fill(seed);
        Ok(())
    }

    fn first_difference(&mut self, share: &Share, seed: u32) -> io::Result<Option<usize>> {
        Ok(self.bytes(share.id)?.first_difference(seed))
    }

    fn read(&mut self, share: &Share, at: usize) -> io::Result<u8> {
        Ok(self.bytes(share.id)?.read(at))
    }

    fn write(&mut self, share: &Share, at: usize, value: u8) -> io::Result<()> {
        self.bytes(share.id)?.write(at, value);
        Ok(())
    }

    fn unshare(&mut self, share: Share) -> io::Result<()> {
        self.end(share.id)
    }
}
