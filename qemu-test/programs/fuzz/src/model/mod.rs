// SPDX-License-Identifier: GPL-2.0

//! Model of the device: the results that it must answer operations with, as
//! `Documentation/xen/gntdev.rst` says. If that leaves several, each of them is accepted.

mod argument;
mod dma_buf;
mod mapping;
mod region;
#[cfg(test)]
mod tests;

use std::mem;

use guest_test::errno::EACCES;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::ENOTTY;
use guest_test::gntdev::Request;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::argument::By;
use crate::argument::Range;
use crate::argument::Rights;
use crate::argument::Sent;
use crate::copy::Scratch;
use crate::grants::Grants;
use crate::operation::Operation;
use crate::operation::SHARES;
use crate::outcome::expect;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::outcome::Verdict;
use crate::setting::Setting;
use crate::state::FileId;
use crate::state::MemoryName;
use crate::state::Piece;
use crate::state::Presence;
use crate::state::RegionName;
use crate::state::Source;
use crate::state::State;

/// Offset in bytes at which no file has a region.
const FAR: u64 = 1 << 44;

/// Model of one process and its grants.
#[derive(Debug)]
pub struct Model {
    setting: Setting,
    domu_has_ended: bool,
    /// Things that the process has.
    pub state: State,
    /// The process' own memory for copies.
    pub scratch: Scratch,
}

impl Model {
    /// Model of a process that has nothing.
    pub fn new(setting: Setting) -> Self {
        let grants = Grants::new(setting.domu.unwrap_or(DOM0));
        Self {
            setting,
            domu_has_ended: false,
            state: State::new(setting.paravirtual, setting.maps_own_grants, grants),
            scratch: Scratch::new(),
        }
    }

    /// Returns offset and count of an argument that means the region called `name`.
    pub fn range(name: RegionName, range: Range) -> (u64, usize) {
        let RegionName { index, count } = name;
        match range {
            Range::Exact => (index, count),
            Range::WithoutFirst => (index + PAGE_SIZE as u64, (count - 1).max(1)),
            Range::Longer => (index, count + 1),
            Range::Far => (index + FAR, count),
        }
    }

    /// Returns the expected contents of the mapping in slot `slot`.
    pub fn contents(&self, slot: usize) -> Option<Vec<u8>> {
        let piece = self.state.pieces[slot].as_ref()?;
        Some(self.state.grants.bytes(&piece.pages))
    }

    /// Returns true if an instruction can access the mapping in slot `slot` without a signal.
    pub fn is_accessible(&self, slot: usize, rights: Rights) -> bool {
        let piece = self.state.pieces[slot].as_ref();
        piece.is_some_and(|piece| piece.presence == Presence::Present && piece.rights >= rights)
    }

    /// Returns true if a wait for the release of the buffer that `file` exported as `number` does
    /// not time out: nobody holds a buffer of that number.
    pub fn ends_soon(&mut self, file: FileId, number: u32) -> bool {
        let exports = self.state.file(file).exports.clone();
        exports
            .iter()
            .all(|(other, buffer)| *other != number || !self.state.is_held(*buffer))
    }

    /// Compares the outcome of `operation` with those that are expected, and follows it.
    ///
    /// # Errors
    ///
    /// A message if the device must not answer so.
    pub fn judge(&mut self, operation: &Operation, outcome: &Outcome) -> Verdict {
        match self.judge_possible(operation, outcome) {
            Some(verdict) => verdict,
            None => expect(outcome, &Outcome::Nothing),
        }
    }

    /// Returns `None` if the slots do not hold the things that the operation takes.
    fn judge_possible(&mut self, operation: &Operation, outcome: &Outcome) -> Option<Verdict> {
        let state = &mut self.state;
        Some(match operation {
            Operation::Narrow(operation) => return self.judge_possible(operation, outcome),
            Operation::EndDomu => {
                let domid = self.setting.domu.filter(|_| !self.domu_has_ended)?;
                self.domu_has_ended = true;
                for slot in (0..SHARES).filter(|slot| self.setting.owner(*slot) == domid) {
                    state.grants.unshare(slot);
                }
                expect(outcome, &Outcome::Done)
            }
            Operation::Share {
                share,
                writable,
                seed,
                ..
            } => {
                let is_gone = self.domu_has_ended && self.setting.owner(*share) != DOM0;
                (!is_gone).then_some(())?;
                let Outcome::Grants(grants) = outcome else {
                    return Some(Err(format!("{outcome:?}, expected grants")));
                };
                state.grants.unshare(*share);
                state.grants.share(*share, grants, *writable, *seed);
                Ok(())
            }
            Operation::Unshare { share } => {
                state.grants.unshare(*share).then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::OwnerRead { share, at } => {
                let (page, at) = state.grants.byte_of_share(*share, *at)?;
                let byte = state.grants.read(&[page], at, 1);
                expect(outcome, &Outcome::Bytes(byte))
            }
            Operation::OwnerWrite { share, at, value } => {
                let (page, at) = state.grants.byte_of_share(*share, *at)?;
                state.grants.write(&[page], at, &[*value]);
                expect(outcome, &Outcome::Done)
            }
            Operation::Open { file, duplicate } => {
                state.open(*file, *duplicate);
                expect(outcome, &Outcome::Done)
            }
            Operation::Close { file } => {
                state.close(*file).then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::Insert {
                file,
                region,
                grants,
            } => {
                let file = state.descriptors[*file]?;
                let grants = grants
                    .iter()
                    .map(|one| state.grants.resolve(*one))
                    .collect();
                region::insert(state, file, *region, grants, outcome)
            }
            Operation::InsertClaiming { file, .. } => {
                state.descriptors[*file]?;
                expect(outcome, &Outcome::Error(EINVAL))
            }
            Operation::Remove {
                file,
                region,
                range,
                any_count,
            } => {
                let file = state.descriptors[*file]?;
                let (index, count) = Self::range(state.names[*region]?, *range);
                match state.find(file, index, (!any_count).then_some(count)) {
                    Some(region) => {
                        let first_page = index / PAGE_SIZE as u64;
                        state.file(file).regions.remove(&first_page);
                        state.remove(region);
                        expect(outcome, &Outcome::Done)
                    }
                    None => expect(outcome, &Outcome::Error(ENOENT)),
                }
            }
            Operation::Map {
                file,
                region,
                mapping,
                range,
                rights,
                private,
            } => {
                let file = state.descriptors[*file]?;
                let range = Self::range(state.names[*region]?, *range);
                state.pieces[*mapping].is_none().then_some(())?;
                region::map(state, file, range, (*rights, *private), *mapping, outcome)
            }
            Operation::Notify {
                file,
                region,
                at,
                action,
                open_port,
            } => {
                let file = state.descriptors[*file]?;
                let index = state.names[*region]?.index + *at as u64;
                region::set_notify(state, file, index, *action, *open_port, outcome)
            }
            Operation::PlaceOf { file, mapping } => {
                state.descriptors[*file]?;
                region::place_of(state, *mapping, outcome)
            }
            Operation::Copy { file, segments } => {
                state.descriptors[*file]?;
                let segments = self.scratch.resolve(state, segments);
                self.scratch.judge(state, &segments, outcome)
            }
            Operation::Export {
                file,
                buffer,
                share,
                flags,
                offset,
                bad,
            } => {
                let file = state.descriptors[*file]?;
                let grants = state.grants.of_share(*share)?.to_vec();
                state.close_buffer(*buffer);
                let offset = offset.unwrap_or(0) as usize;
                dma_buf::export(
                    state,
                    file,
                    (&grants, *bad),
                    (*flags, offset),
                    *buffer,
                    outcome,
                )
            }
            Operation::CloseBuffer { buffer } => {
                state.close_buffer(*buffer).then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::MapBuffer {
                buffer,
                mapping,
                first,
                pages,
                rights,
                private,
            } => {
                let buffer = state.buffer_names[*buffer]?.open?;
                state.pieces[*mapping].is_none().then_some(())?;
                let range = *first..*first + *pages;
                let all = &state.buffer(buffer).pages;
                if *private || range.end > all.len() {
                    return Some(expect(outcome, &Outcome::Error(EINVAL)));
                }
                let piece = Piece {
                    source: Source::Buffer(buffer),
                    first: *first,
                    pages: all[range].to_vec(),
                    rights: *rights,
                    may_write: *rights == Rights::ReadWrite || !state.is_paravirtual(),
                    presence: Presence::Present,
                };
                state.map_buffer(*mapping, buffer, piece);
                expect(outcome, &Outcome::Done)
            }
            Operation::Wait { file, buffer, long } => {
                let file = state.descriptors[*file]?;
                let number = state.buffer_names[*buffer]?.number;
                let is_long = *long && self.ends_soon(file, number);
                dma_buf::wait(&mut self.state, file, number, is_long, outcome)
            }
            Operation::MakeMemory { memory, pages } => {
                let &Outcome::Number(number) = outcome else {
                    return Some(Err(format!("{outcome:?}, expected a descriptor")));
                };
                state.memories[*memory] = Some(MemoryName {
                    number: number as u32,
                    pages: *pages,
                    open: true,
                });
                Ok(())
            }
            Operation::CloseMemory { memory } => {
                let name = state.memories[*memory].as_mut()?;
                mem::take(&mut name.open).then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::Import {
                file,
                memory,
                more,
                wide_domain,
                ..
            } => {
                let file = state.descriptors[*file]?;
                let name = state.memories[*memory].filter(|name| name.open);
                let is_good = *more == 0 && !wide_domain;
                dma_buf::import(state, file, name, is_good, outcome)
            }
            Operation::EndImport { file, memory } => {
                let file = state.descriptors[*file]?;
                let number = state.memories[*memory]?.number;
                let imports = &mut state.file(file).imports;
                match imports.iter().rposition(|other| *other == number) {
                    Some(newest) => {
                        imports.remove(newest);
                        expect(outcome, &Outcome::Done)
                    }
                    None => expect(outcome, &Outcome::Error(ENOENT)),
                }
            }
            Operation::Read { file, length } => {
                let file = state.descriptors[*file]?;
                dma_buf::read(state, file, *length, outcome)
            }
            Operation::Poll { file } => {
                let file = state.descriptors[*file]?;
                dma_buf::poll(state, file, outcome)
            }
            Operation::BadArgument { file, request, .. } => {
                state.descriptors[*file]?;
                let unknown = [
                    Request::UNKNOWN,
                    Request::SET_MAX_GRANTS,
                    Request::GRANT_COPY_32,
                ];
                let error = if unknown.contains(request) {
                    ENOTTY
                } else {
                    EFAULT
                };
                expect(outcome, &Outcome::Error(error))
            }
            Operation::ReadOnlyArgument { file, request } => {
                state.descriptors[*file]?;
                argument::read_only_argument(state, *request, outcome)?
            }
            Operation::Split { mapping, rest, at } => {
                let pages = state.pieces[*mapping].as_ref()?.pages.len();
                let at = at % pages;
                (at != 0 && state.pieces[*rest].is_none()).then_some(())?;
                state.split(*mapping, *rest, at);
                expect(outcome, &Outcome::Done)
            }
            Operation::Unmap { mapping } => {
                state.unmap(*mapping).then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::Protect { mapping, rights } => {
                let piece = state.pieces[*mapping].as_mut()?;
                if *rights == Rights::ReadWrite && !piece.may_write {
                    return Some(expect(outcome, &Outcome::Error(EACCES)));
                }
                piece.rights = *rights;
                expect(outcome, &Outcome::Done)
            }
            Operation::Discard { mapping } => {
                let piece = state.pieces[*mapping].as_mut()?;
                mapping::discard(piece, outcome)
            }
            Operation::Relocate { mapping } => mapping::relocate(state, *mapping, outcome)?,
            Operation::Grow { mapping } => {
                state.pieces[*mapping].as_ref()?;
                Expected::error(EFAULT)
                    .or(EINVAL)
                    .compare(outcome)
                    .map(drop)
            }
            Operation::Load {
                by: By::Process, ..
            }
            | Operation::Store {
                by: By::Process, ..
            } if !self.setting.has_process_memory => return None,
            Operation::Load { mapping, by } => {
                let piece = state.pieces[*mapping].as_ref()?;
                let expected = mapping::access(piece, Rights::Read, *by);
                let bytes = state.grants.bytes(&piece.pages);
                match expected.compare(outcome) {
                    Ok(true) => expect(outcome, &Outcome::Bytes(bytes)),
                    other => other.map(drop),
                }
            }
            Operation::Store {
                mapping,
                at,
                value,
                by,
            } => {
                let piece = state.pieces[*mapping].as_ref()?;
                // The kernel reads to the start of the mapping.
                let at = match by {
                    By::Kernel | By::Direct => 0,
                    By::Program if piece.presence != Presence::Present => 0,
                    _ => at % (piece.pages.len() * PAGE_SIZE),
                };
                let pages = piece.pages.clone();
                let result = mapping::access(piece, Rights::ReadWrite, *by).compare(outcome);
                if result == Ok(true) {
                    state.grants.write(&pages, at, &[*value]);
                }
                result.map(drop)
            }
            Operation::Splice { mapping } => {
                let piece = state.pieces[*mapping].as_ref()?;
                state.pipe.is_none().then_some(())?;
                let length = piece.pages.len() * PAGE_SIZE;
                match mapping::access(piece, Rights::Read, By::Kernel).compare(outcome) {
                    Ok(true) => {
                        state.fill_pipe(*mapping);
                        expect(outcome, &Outcome::Number(length as u64))
                    }
                    other => other.map(drop),
                }
            }
            Operation::Drain => {
                let pages = state.drain_pipe()?;
                expect(outcome, &Outcome::Bytes(state.grants.bytes(&pages)))
            }
            Operation::Send { sent } => {
                state.send(*sent).then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::Receive { file, buffer } => match state.receive(*file, *buffer)? {
                Sent::File(_) => expect(outcome, &Outcome::Done),
                Sent::Buffer(slot) => {
                    let &Outcome::Number(number) = outcome else {
                        return Some(Err(format!("{outcome:?}, expected a descriptor")));
                    };
                    state.name_buffer(slot, number as u32);
                    Ok(())
                }
            },
            Operation::StartChild => {
                state.start_child().then_some(())?;
                expect(outcome, &Outcome::Done)
            }
            Operation::KillChild => {
                state.end_child().then_some(())?;
                expect(outcome, &Outcome::Ended(End::Signalled(SIGKILL)))
            }
            Operation::RunProgram => expect(outcome, &Outcome::Ended(End::Exited(0))),
            Operation::Fork { mapping } => {
                let piece = state.pieces[*mapping].as_ref()?;
                mapping::fork(piece, state.is_paravirtual(), outcome)
            }
        })
    }
}
