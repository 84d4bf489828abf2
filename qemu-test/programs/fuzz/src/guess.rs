// SPDX-License-Identifier: GPL-2.0

//! Contents that the slots probably have after some operations.
//!
//! Operations are chosen before the first of them is executed. Most of those that are chosen at
//! random would find nothing in their slots, or a region of another file. The guess lets the choice
//! prefer operations that reach deep into the device; it need not be right.

use crate::argument::Grant;
use crate::argument::Range;
use crate::argument::Rights;
use crate::argument::Sent;
use crate::operation::Operation;
use crate::operation::BUFFERS;
use crate::operation::FILES;
use crate::operation::MAPPINGS;
use crate::operation::MEMORIES;
use crate::operation::REGIONS;
use crate::operation::SHARES;

/// Region that is probably in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Slot of its file.
    pub file: usize,
    /// Number of pages.
    pub pages: usize,
    /// Rights that its grants allow.
    pub rights: Rights,
    /// True if it has been mapped.
    pub mapped: bool,
}

/// Mapping that is probably in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Number of pages.
    pub pages: usize,
}

/// Share that is probably in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of pages.
    pub pages: usize,
    /// Rights that it grants.
    pub rights: Rights,
}

/// Contents of the slots.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    /// Shares.
    pub shares: [Option<Share>; SHARES],
    /// Slots of open files.
    pub files: [Option<()>; FILES],
    /// Regions.
    pub regions: [Option<Region>; REGIONS],
    /// Mappings.
    pub mappings: [Option<Mapping>; MAPPINGS],
    /// Exported dma-bufs, by their number of pages.
    pub buffers: [Option<usize>; BUFFERS],
    /// dma-bufs of the program's own memory.
    pub memories: [Option<()>; MEMORIES],
    /// Descriptor in the socket.
    pub sent: Option<Sent>,
    /// Number of pages of the dma-buf in the socket.
    sent_pages: usize,
}

impl Guess {
    /// Follows an operation that probably succeeds, if its slots have the right contents.
    pub fn follow(&mut self, operation: &Operation) {
        // An operation without the things that it takes does nothing.
        let _ = self.follow_possible(operation);
    }

    fn follow_possible(&mut self, operation: &Operation) -> Option<()> {
        match *operation {
            Operation::Share {
                share,
                pages,
                writable,
                ..
            } => {
                let rights = if writable {
                    Rights::ReadWrite
                } else {
                    Rights::Read
                };
                self.shares[share] = Some(Share { pages, rights });
            }
            Operation::Narrow(ref operation) => self.follow_possible(operation)?,
            Operation::Unshare { share } => self.shares[share] = None,
            Operation::Open { file, .. } => {
                self.forget_regions(file);
                self.files[file] = Some(());
            }
            Operation::Close { file } => {
                self.forget_regions(file);
                self.files[file] = None;
            }
            Operation::Insert {
                file,
                region,
                ref grants,
            } => {
                self.files[file]?;
                let rights = grants.iter().map(|grant| self.rights(*grant));
                self.regions[region] = rights.min()?.map(|rights| Region {
                    file,
                    pages: grants.len(),
                    rights,
                    mapped: false,
                });
            }
            Operation::Remove {
                region,
                range: Range::Exact,
                ..
            } => self.regions[region] = None,
            Operation::Map {
                file,
                region,
                mapping,
                range,
                rights,
                private,
            } => {
                let region = self.regions[region].as_mut()?;
                let is_good = region.file == file
                    && !region.mapped
                    && self.mappings[mapping].is_none()
                    && range == Range::Exact
                    && rights <= region.rights
                    && !(private && rights == Rights::ReadWrite);
                is_good.then_some(())?;
                region.mapped = true;
                let pages = region.pages;
                self.mappings[mapping] = Some(Mapping { pages });
            }
            Operation::Export {
                buffer,
                share,
                flags,
                offset: _,
                bad,
                ..
            } => {
                let share = self.shares[share]?;
                let is_good = !bad && flags <= 2 && share.rights == Rights::ReadWrite;
                self.buffers[buffer] = is_good.then_some(share.pages);
            }
            Operation::CloseBuffer { buffer } => self.buffers[buffer] = None,
            Operation::MapBuffer {
                buffer,
                mapping,
                first,
                pages,
                private,
                ..
            } => {
                let all = self.buffers[buffer]?;
                let is_good = !private && first + pages <= all;
                (is_good && self.mappings[mapping].is_none()).then_some(())?;
                self.mappings[mapping] = Some(Mapping { pages });
            }
            Operation::MakeMemory { memory, .. } => self.memories[memory] = Some(()),
            Operation::CloseMemory { memory } => self.memories[memory] = None,
            Operation::Split { mapping, rest, at } => {
                let whole = self.mappings[mapping]?;
                let at = at % whole.pages;
                (at != 0 && self.mappings[rest].is_none()).then_some(())?;
                self.mappings[mapping] = Some(Mapping { pages: at });
                let pages = whole.pages - at;
                self.mappings[rest] = Some(Mapping { pages });
            }
            Operation::Unmap { mapping } => self.mappings[mapping] = None,
            Operation::Send { sent } if self.sent.is_none() => {
                match sent {
                    Sent::File(file) => {
                        self.files[file].take()?;
                        self.forget_regions(file);
                    }
                    Sent::Buffer(buffer) => self.sent_pages = self.buffers[buffer].take()?,
                }
                self.sent = Some(sent);
            }
            Operation::Receive { file, buffer } => match self.sent.take()? {
                Sent::File(_) => {
                    self.forget_regions(file);
                    self.files[file] = Some(());
                }
                Sent::Buffer(_) => self.buffers[buffer] = Some(self.sent_pages),
            },
            _ => {}
        }
        Some(())
    }

    /// Regions of a file whose descriptor has gone cannot be found by it.
    fn forget_regions(&mut self, file: usize) {
        for slot in &mut self.regions {
            slot.take_if(|region| region.file == file);
        }
    }

    fn rights(&self, grant: Grant) -> Option<Rights> {
        match grant {
            Grant::Of { share, .. } => self.shares[share].map(|share| share.rights),
            _ => None,
        }
    }
}
