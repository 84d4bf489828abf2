// SPDX-License-Identifier: GPL-2.0

//! Model of the things that a program has: descriptors, regions, mappings and dma-bufs.

mod holders;

use std::collections::BTreeMap;
use std::mem;
use std::ops::RangeInclusive;

use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::argument::Rights;
use crate::grants::Grants;
use crate::grants::PageId;
use crate::operation::BUFFERS;
use crate::operation::FILES;
use crate::operation::MAPPINGS;
use crate::operation::MEMORIES;
use crate::operation::REGIONS;

use holders::Holding;

/// Number of an open file of the model.
pub type FileId = usize;
/// Number of a region of the model.
pub type RegionId = usize;
/// Number of a dma-buf of the model.
pub type BufferId = usize;

/// Open file of the device.
#[derive(Debug, Default)]
pub struct OpenFile {
    /// Number of descriptors, and of mappings of its regions.
    holders: usize,
    /// Regions by their first page.
    pub regions: BTreeMap<u64, RegionId>,
    /// Exported dma-bufs by the numbers of their descriptors, the newest last. Those of which is
    /// known that they have been released are missing.
    pub exports: Vec<(u32, BufferId)>,
    /// Numbers of the descriptors of imported dma-bufs.
    pub imports: Vec<u32>,
    /// Number of buffers that nobody holds, so that they have been or will be released.
    unheld: u64,
    /// Number of those of which is known that they have been released.
    pub released: u64,
    /// Number of released buffers that `read()` has returned.
    pub read: u64,
}

impl OpenFile {
    /// Returns the least and the greatest number that `read()` can return, where 0 stands for
    /// `EAGAIN`.
    pub fn unread(&self) -> RangeInclusive<u64> {
        self.released.saturating_sub(self.read)..=self.unheld - self.read
    }
}

/// Region of a file.
#[derive(Debug)]
pub struct Region {
    /// Its grants.
    pub grants: Vec<GrantRef>,
    /// Offset in its file, in bytes.
    pub index: u64,
    /// True if it has not been removed from its file.
    in_file: bool,
    /// Number of mappings.
    pieces: usize,
    /// Pages and access rights, if it has been mapped.
    pub mapped: Option<Mapped>,
    /// Byte to clear at the end.
    pub clear_byte: Option<usize>,
}

/// State of a region that has been mapped.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// Pages of the region.
    pub pages: Vec<PageId>,
    /// True if it was mapped for writing.
    pub writable: bool,
    /// True for the pages that the kernel has mapped.
    in_kernel: Vec<bool>,
    /// True for the pages that have left the addresses of the mapping, by `munmap()` or `mremap()`.
    has_left: Vec<bool>,
}

/// Exported dma-buf.
#[derive(Debug)]
pub struct Buffer {
    /// File that exported it.
    file: FileId,
    /// Pages of the buffer.
    pub pages: Vec<PageId>,
    /// Number of descriptors and mappings, and of pipes that have pages of it.
    holders: usize,
}

/// Origin of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Region of a file.
    Region(FileId, RegionId),
    /// Exported dma-buf.
    Buffer(BufferId),
}

/// Presence of the pages of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// An access finds them, if the rights allow it.
    Present,
    /// An access finds no page.
    Gone,
    /// One of these.
    Unknown,
}

/// Mapping, or a part of one.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Origin.
    pub source: Source,
    /// Index of the first page in its region or buffer.
    pub first: usize,
    /// Pages that it shows.
    pub pages: Vec<PageId>,
    /// Rights now.
    pub rights: Rights,
    /// True if `mprotect()` can make it writable.
    pub may_write: bool,
    /// Presence of the pages.
    pub presence: Presence,
}

/// Offset and size of a region, also after its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionName {
    /// Offset in the file, in bytes.
    pub index: u64,
    /// Number of grants.
    pub count: usize,
}

/// Number of the descriptor of a dma-buf, also after its close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferName {
    /// Number of the descriptor.
    pub number: u32,
    /// The buffer, if the descriptor is open.
    pub open: Option<BufferId>,
}

/// Descriptor of a dma-buf of the program's own memory, also after its close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryName {
    /// Number of the descriptor.
    pub number: u32,
    /// Number of pages.
    pub pages: usize,
    /// True if the descriptor is open.
    pub open: bool,
}

/// Pages in the pipe.
#[derive(Clone, Debug)]
pub struct InPipe {
    source: Source,
    first: usize,
    /// The pages, in the order of reading.
    pub pages: Vec<PageId>,
}

/// Things that a program has, by slots.
#[derive(Debug)]
pub struct State {
    paravirtual: bool,
    maps_own_grants: bool,
    /// Granted pages.
    pub grants: Grants,
    /// Open files by slot. A file can be in several.
    pub descriptors: [Option<FileId>; FILES],
    files: Vec<OpenFile>,
    /// Names of regions by slot.
    pub names: [Option<RegionName>; REGIONS],
    regions: Vec<Region>,
    /// Names of dma-bufs by slot.
    pub buffer_names: [Option<BufferName>; BUFFERS],
    buffers: Vec<Buffer>,
    /// Names of dma-bufs of the program's own memory by slot.
    pub memories: [Option<MemoryName>; MEMORIES],
    /// Mappings by slot.
    pub pieces: [Option<Piece>; MAPPINGS],
    /// Contents of the pipe.
    pub pipe: Option<InPipe>,
    /// Descriptor in the socket.
    sent: Option<Holding>,
    /// Things that a copy of the process has.
    child: Option<Vec<Holding>>,
}

impl State {
    /// State of a program that has nothing, in a domain that is `paravirtual` or not, and
    /// `maps_own_grants` or cannot.
    pub fn new(paravirtual: bool, maps_own_grants: bool, grants: Grants) -> Self {
        Self {
            paravirtual,
            maps_own_grants,
            grants,
            descriptors: [None; FILES],
            files: Vec::new(),
            names: [None; REGIONS],
            regions: Vec::new(),
            buffer_names: [None; BUFFERS],
            buffers: Vec::new(),
            memories: [None; MEMORIES],
            pieces: [const { None }; MAPPINGS],
            pipe: None,
            sent: None,
            child: None,
        }
    }

    /// Returns true in a paravirtual domain.
    pub fn is_paravirtual(&self) -> bool {
        self.paravirtual
    }

    /// Returns true if the domain may map its own grants.
    pub fn maps_own_grants(&self) -> bool {
        self.maps_own_grants
    }

    /// Returns an open file.
    pub fn file(&mut self, file: FileId) -> &mut OpenFile {
        &mut self.files[file]
    }

    /// Returns a region.
    pub fn region(&mut self, region: RegionId) -> &mut Region {
        &mut self.regions[region]
    }

    /// Returns a dma-buf.
    pub fn buffer(&self, buffer: BufferId) -> &Buffer {
        &self.buffers[buffer]
    }

    /// Puts a descriptor of a new file, or of that in slot `duplicate`, into slot `slot`.
    pub fn open(&mut self, slot: usize, duplicate: Option<usize>) {
        let file = match duplicate.and_then(|slot| self.descriptors[slot]) {
            Some(file) => file,
            None => {
                self.files.push(OpenFile::default());
                self.files.len() - 1
            }
        };
        self.files[file].holders += 1;
        self.close(slot);
        self.descriptors[slot] = Some(file);
    }

    /// Closes the descriptor in slot `slot`. Returns false if there is none.
    pub fn close(&mut self, slot: usize) -> bool {
        let file = self.descriptors[slot].take();
        if let Some(file) = file {
            self.release_file(file);
        }
        file.is_some()
    }

    fn release_file(&mut self, file: FileId) {
        self.files[file].holders -= 1;
        if self.files[file].holders == 0 {
            for region in mem::take(&mut self.files[file].regions).into_values() {
                self.remove(region);
            }
        }
    }

    /// Adds a region to a file.
    pub fn insert(&mut self, file: FileId, first_page: u64, grants: Vec<GrantRef>) {
        self.regions.push(Region {
            grants,
            index: first_page * PAGE_SIZE as u64,
            in_file: true,
            pieces: 0,
            mapped: None,
            clear_byte: None,
        });
        let region = self.regions.len() - 1;
        self.files[file].regions.insert(first_page, region);
    }

    /// Returns the region of `file` that begins at the page of `index` and has `count` grants, or
    /// any number of them.
    pub fn find(&self, file: FileId, index: u64, count: Option<usize>) -> Option<RegionId> {
        let region = *self.files[file].regions.get(&(index / PAGE_SIZE as u64))?;
        let has_count = count.is_none_or(|count| count == self.regions[region].grants.len());
        has_count.then_some(region)
    }

    /// Returns the region of `file` that contains the byte `index`, and the offset of that in it.
    pub fn find_containing(&self, file: FileId, index: u64) -> Option<(RegionId, usize)> {
        let page = index / PAGE_SIZE as u64;
        let (first, region) = self.files[file].regions.range(..=page).next_back()?;
        let at = (index - first * PAGE_SIZE as u64) as usize;
        let is_inside = at < self.regions[*region].grants.len() * PAGE_SIZE;
        is_inside.then_some((*region, at))
    }

    /// Ends the membership of a region in its file, whose index has it no more.
    pub fn remove(&mut self, region: RegionId) {
        self.regions[region].in_file = false;
        self.end_region(region);
    }

    /// Clears the byte of a region that nobody has any more.
    fn end_region(&mut self, region: RegionId) {
        let ended = &self.regions[region];
        if !ended.in_file && ended.pieces == 0 {
            self.clear_byte(region, |_| true);
        }
    }

    /// Clears the byte of a region if it is in a page that ends, and the region is mapped writable.
    fn clear_byte(&mut self, region: RegionId, ends: impl Fn(usize) -> bool) {
        let ended = &mut self.regions[region];
        let is_due = |byte: &mut usize| ends(*byte / PAGE_SIZE);
        let (Some(mapped), Some(byte)) = (&ended.mapped, ended.clear_byte.take_if(is_due)) else {
            return;
        };
        if mapped.writable && mapped.in_kernel[byte / PAGE_SIZE] {
            self.grants.write(&mapped.pages, byte, &[0]);
        }
    }

    /// Notes that a region is mapped, and puts the mapping into slot `slot`.
    pub fn map(&mut self, slot: usize, source: (FileId, RegionId), piece: Piece) {
        let (file, region) = source;
        self.files[file].holders += 1;
        let mapped = &mut self.regions[region];
        mapped.pieces = 1;
        mapped.mapped = Some(Mapped {
            pages: piece.pages.clone(),
            writable: piece.rights == Rights::ReadWrite,
            in_kernel: vec![true; piece.pages.len()],
            has_left: vec![false; piece.pages.len()],
        });
        self.pieces[slot] = Some(piece);
    }

    /// Adds a dma-buf of `pages` whose descriptor has `number`.
    pub fn export(&mut self, slot: usize, file: FileId, number: u32, pages: Vec<PageId>) {
        self.buffers.push(Buffer {
            file,
            pages,
            holders: 1,
        });
        let buffer = self.buffers.len() - 1;
        self.files[file].exports.push((number, buffer));
        self.buffer_names[slot] = Some(BufferName {
            number,
            open: Some(buffer),
        });
    }

    /// Closes the descriptor of the dma-buf in slot `slot`. Returns false if it is not open.
    pub fn close_buffer(&mut self, slot: usize) -> bool {
        let buffer = self.buffer_names[slot]
            .as_mut()
            .and_then(|name| name.open.take());
        if let Some(buffer) = buffer {
            self.release_buffer(buffer);
        }
        buffer.is_some()
    }

    fn release_buffer(&mut self, buffer: BufferId) {
        let released = &mut self.buffers[buffer];
        released.holders -= 1;
        if released.holders == 0 {
            self.files[released.file].unheld += 1;
        }
    }

    /// Returns true if a dma-buf certainly has not been released.
    pub fn is_held(&self, buffer: BufferId) -> bool {
        self.buffers[buffer].holders != 0
    }

    /// Puts a mapping of a dma-buf into slot `slot`.
    pub fn map_buffer(&mut self, slot: usize, buffer: BufferId, piece: Piece) {
        self.buffers[buffer].holders += 1;
        self.pieces[slot] = Some(piece);
    }

    /// Splits the mapping in slot `slot` before page `at`, and puts the second part into slot
    /// `rest`.
    pub fn split(&mut self, slot: usize, rest: usize, at: usize) {
        let Some(first) = self.pieces[slot].as_mut() else {
            return;
        };
        let mut second = first.clone();
        second.first += at;
        second.pages = first.pages.split_off(at);
        match second.source {
            Source::Region(file, region) => {
                self.files[file].holders += 1;
                self.regions[region].pieces += 1;
            }
            Source::Buffer(buffer) => self.buffers[buffer].holders += 1,
        }
        self.pieces[rest] = Some(second);
    }

    /// Takes the pages of the mapping in slot `slot` from the process, as `munmap()` and, in a
    /// paravirtual domain, `mremap()` do.
    pub fn take_pages(&mut self, slot: usize) {
        let Some(piece) = self.pieces[slot].as_mut() else {
            return;
        };
        piece.presence = Presence::Gone;
        let Source::Region(_, region) = piece.source else {
            return;
        };
        if !self.paravirtual {
            return;
        }
        let source = piece.source;
        let pages = piece.first..piece.first + piece.pages.len();
        // A page leaves once: after a move there is other memory, or none, at its address.
        let has_left = |page: &usize| {
            let mapped = self.regions[region].mapped.as_ref();
            mapped.is_some_and(|mapped| mapped.has_left[*page])
        };
        let leaving: Vec<usize> = pages.filter(|page| !has_left(page)).collect();
        self.clear_byte(region, |page| leaving.contains(&page));
        let in_pipe = leaving.iter().map(|&page| self.is_in_pipe(source, page));
        let in_pipe: Vec<bool> = in_pipe.collect();
        if let Some(mapped) = &mut self.regions[region].mapped {
            for (page, is_in_pipe) in leaving.into_iter().zip(in_pipe) {
                mapped.in_kernel[page] &= is_in_pipe;
                mapped.has_left[page] = true;
            }
        }
    }

    fn is_in_pipe(&self, source: Source, page: usize) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| {
            let pages = pipe.first..pipe.first + pipe.pages.len();
            pipe.source == source && pages.contains(&page)
        })
    }

    /// Ends the mapping in slot `slot`. Returns false if there is none.
    pub fn unmap(&mut self, slot: usize) -> bool {
        self.take_pages(slot);
        let Some(piece) = self.pieces[slot].take() else {
            return false;
        };
        match piece.source {
            Source::Region(file, region) => {
                self.regions[region].pieces -= 1;
                self.end_region(region);
                self.release_file(file);
            }
            Source::Buffer(buffer) => self.release_buffer(buffer),
        }
        true
    }

    /// Puts the pages of the mapping in slot `slot` into the pipe.
    pub fn fill_pipe(&mut self, slot: usize) {
        let Some(piece) = &self.pieces[slot] else {
            return;
        };
        if let Source::Buffer(buffer) = piece.source {
            self.buffers[buffer].holders += 1;
        }
        self.pipe = Some(InPipe {
            source: piece.source,
            first: piece.first,
            pages: piece.pages.clone(),
        });
    }

    /// Empties the pipe, and returns the pages that were in it.
    pub fn drain_pipe(&mut self) -> Option<Vec<PageId>> {
        let pipe = self.pipe.take()?;
        if let Source::Buffer(buffer) = pipe.source {
            self.release_buffer(buffer);
        }
        Some(pipe.pages)
    }
}
