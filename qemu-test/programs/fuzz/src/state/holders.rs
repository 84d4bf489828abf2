// SPDX-License-Identifier: GPL-2.0

//! Holders of files, regions and dma-bufs beside the program's own slots: a socket with a
//! descriptor in it, and a copy of the process.

use xen_grants::DOM0;

use super::BufferId;
use super::BufferName;
use super::FileId;
use super::RegionId;
use super::Source;
use super::State;
use crate::argument::Sent;

/// Thing that a holder keeps.
#[derive(Clone, Copy, Debug)]
pub enum Holding {
    /// An open file.
    File(FileId),
    /// A dma-buf.
    Buffer(BufferId),
    /// Pages of a region.
    Region(RegionId),
}

impl State {
    /// Moves a descriptor to the socket. Returns false if there is none, or one in the socket.
    pub fn send(&mut self, sent: Sent) -> bool {
        if self.sent.is_some() {
            return false;
        }
        let held = match sent {
            Sent::File(slot) => self.descriptors[slot].take().map(Holding::File),
            Sent::Buffer(slot) => self.buffer_names[slot]
                .as_mut()
                .and_then(|name| name.open.take())
                .map(Holding::Buffer),
        };
        self.sent = held;
        held.is_some()
    }

    /// Moves the descriptor in the socket to slot `file` or `buffer`, and returns that slot. The
    /// number of a dma-buf's descriptor is not known yet.
    pub fn receive(&mut self, file: usize, buffer: usize) -> Option<Sent> {
        match self.sent.take()? {
            Holding::File(held) => {
                self.close(file);
                self.descriptors[file] = Some(held);
                Some(Sent::File(file))
            }
            Holding::Buffer(held) => {
                self.close_buffer(buffer);
                self.buffer_names[buffer] = Some(BufferName {
                    number: u32::MAX,
                    open: Some(held),
                });
                Some(Sent::Buffer(buffer))
            }
            Holding::Region(_) => None,
        }
    }

    /// Notes the number of the descriptor in slot `slot`.
    pub fn name_buffer(&mut self, slot: usize, number: u32) {
        if let Some(name) = &mut self.buffer_names[slot] {
            name.number = number;
        }
    }

    /// Has a copy of the process keep all descriptors, and in an auto-translated domain all
    /// mappings. Returns false if there is a copy.
    pub fn start_child(&mut self) -> bool {
        if self.child.is_some() {
            return false;
        }
        let mut held: Vec<Holding> = Vec::new();
        held.extend(
            self.descriptors
                .iter()
                .flatten()
                .copied()
                .map(Holding::File),
        );
        let names = self.buffer_names.iter().flatten();
        held.extend(names.filter_map(|name| name.open).map(Holding::Buffer));
        if !self.paravirtual {
            for piece in self.pieces.iter().flatten() {
                match piece.source {
                    Source::Region(file, region) => {
                        held.push(Holding::Region(region));
                        held.push(Holding::File(file));
                    }
                    Source::Buffer(buffer) => held.push(Holding::Buffer(buffer)),
                }
            }
        }
        for thing in &held {
            match *thing {
                Holding::File(file) => self.files[file].holders += 1,
                Holding::Buffer(buffer) => self.buffers[buffer].holders += 1,
                Holding::Region(region) => self.regions[region].pieces += 1,
            }
        }
        self.child = Some(held);
        // The copy has this domain's granted memory as well, so that no grant of it ends soon.
        self.grants.set_all_used(DOM0);
        true
    }

    /// Ends the copy of the process. Returns false if there is none.
    pub fn end_child(&mut self) -> bool {
        let Some(held) = self.child.take() else {
            return false;
        };
        for thing in held {
            match thing {
                Holding::File(file) => self.release_file(file),
                Holding::Buffer(buffer) => self.release_buffer(buffer),
                Holding::Region(region) => {
                    self.regions[region].pieces -= 1;
                    self.end_region(region);
                }
            }
        }
        true
    }
}
