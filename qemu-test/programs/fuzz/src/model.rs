// SPDX-License-Identifier: GPL-2.0

//! Model of the device: the results that it must answer operations with, as
//! `Documentation/xen/gntdev.rst` says. Where that leaves several, each of them is accepted.

use std::collections::BTreeSet;
use std::mem;

use guest_test::errno::EACCES;
use guest_test::errno::EAGAIN;
use guest_test::errno::EBADF;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::EIO;
use guest_test::errno::ENOENT;
use guest_test::errno::ENOTTY;
use guest_test::errno::EOPNOTSUPP;
use guest_test::errno::ETIMEDOUT;
use guest_test::gntdev::notify;
use guest_test::gntdev::Request;
use guest_test::process::End;
use guest_test::signal::SIGBUS;
use guest_test::signal::SIGSEGV;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::copy::Scratch;
use crate::grants::Grants;
use crate::grants::PageId;
use crate::grants::Permission;
use crate::operation::Answering;
use crate::operation::By;
use crate::operation::Operation;
use crate::operation::Range;
use crate::operation::Rights;
use crate::outcome::expect;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::state::FileId;
use crate::state::MemoryName;
use crate::state::Piece;
use crate::state::Presence;
use crate::state::RegionName;
use crate::state::Source;
use crate::state::State;

/// Offset in bytes at which no file has a region.
const FAR: u64 = 1 << 44;

/// Verdict about the outcome of an operation: a message if the device must not answer so.
pub type Verdict = Result<(), String>;

/// Domains of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// True if dom0, which runs the fuzzer, is paravirtual.
    pub paravirtual: bool,
    /// The domU that grants pages, if there is one.
    pub domu: Option<u32>,
}

impl Setting {
    /// Returns the domain that grants the pages of the share in slot `slot`. An auto-translated
    /// domain cannot map its own grants, so few of them are its own.
    pub fn owner(&self, slot: usize) -> u32 {
        let is_own = if self.paravirtual {
            slot % 2 == 0
        } else {
            slot == 0
        };
        match self.domu {
            Some(domu) if !is_own => domu,
            _ => DOM0,
        }
    }
}

/// Model of one process and its grants.
#[derive(Debug)]
pub struct Model {
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
            state: State::new(setting.paravirtual, grants),
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
            Operation::Share {
                share,
                writable,
                seed,
                ..
            } => {
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
                insert(state, file, *region, grants, outcome)
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
                map(state, file, range, (*rights, *private), *mapping, outcome)
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
                set_notify(state, file, index, *action, *open_port, outcome)
            }
            Operation::PlaceOf { file, mapping } => {
                state.descriptors[*file]?;
                place_of(state, *mapping, outcome)
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
                export(
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
                wait(&mut self.state, file, number, is_long, outcome)
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
                import(state, file, name, is_good, outcome)
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
                read(state, file, *length, outcome)
            }
            Operation::Poll { file } => {
                let file = state.descriptors[*file]?;
                poll(state, file, outcome)
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
                read_only_argument(state, *request, outcome)?
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
                discard(piece, outcome)
            }
            Operation::Relocate { mapping } => relocate(state, *mapping, outcome)?,
            Operation::Grow { mapping } => {
                state.pieces[*mapping].as_ref()?;
                Expected::error(EFAULT)
                    .or(EINVAL)
                    .compare(outcome)
                    .map(drop)
            }
            Operation::Load { mapping, by } => {
                let piece = state.pieces[*mapping].as_ref()?;
                let expected = access(piece, Rights::Read, *by);
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
                    By::Kernel => 0,
                    By::Program if piece.presence != Presence::Present => 0,
                    _ => at % (piece.pages.len() * PAGE_SIZE),
                };
                let pages = piece.pages.clone();
                let result = access(piece, Rights::ReadWrite, *by).compare(outcome);
                if result == Ok(true) {
                    state.grants.write(&pages, at, &[*value]);
                }
                result.map(drop)
            }
            Operation::Splice { mapping } => {
                let piece = state.pieces[*mapping].as_ref()?;
                state.pipe.is_none().then_some(())?;
                let length = piece.pages.len() * PAGE_SIZE;
                match access(piece, Rights::Read, By::Kernel).compare(outcome) {
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
            Operation::Fork { mapping } => {
                let piece = state.pieces[*mapping].as_ref()?;
                fork(piece, state.is_paravirtual(), outcome)
            }
        })
    }
}

fn insert(
    state: &mut State,
    file: FileId,
    slot: usize,
    grants: Vec<GrantRef>,
    outcome: &Outcome,
) -> Verdict {
    let &Outcome::Number(index) = outcome else {
        return Err(format!("{outcome:?}, expected an offset"));
    };
    let count = grants.len();
    let page_size = PAGE_SIZE as u64;
    if index % page_size != 0 {
        return Err(format!("offset {index:#x} does not begin a page"));
    }
    let end = index + count as u64 * page_size;
    for page in (index..end).step_by(PAGE_SIZE) {
        if state.find_containing(file, page).is_some() {
            return Err(format!(
                "offset {index:#x} of {count} pages overlaps another region"
            ));
        }
    }
    if state.file(file).regions.is_empty() && index != 0 {
        return Err(format!(
            "the first region of the file has offset {index:#x}"
        ));
    }
    state.insert(file, index / page_size, grants);
    state.names[slot] = Some(RegionName { index, count });
    Ok(())
}

/// Returns the expected result of mapping `grants`, and the pages that they are of.
fn mapping_of(state: &State, grants: &[GrantRef], writing: bool) -> (Expected, Vec<PageId>) {
    let mut pages = Vec::new();
    let mut expected = Expected::success();
    let mut is_refused = false;
    for grant in grants {
        if !state.is_paravirtual() && grant.domid == DOM0 {
            expected = expected.or(EOPNOTSUPP);
            is_refused = true;
            continue;
        }
        match state.grants.permission(*grant, writing) {
            Permission::Granted(page) => pages.push(page),
            Permission::Ending(page) => {
                expected = expected.or(EINVAL);
                pages.push(page);
            }
            Permission::Refused => {
                expected = expected.or(EINVAL);
                is_refused = true;
            }
        }
    }
    if is_refused {
        expected = expected.failure();
    }
    (expected, pages)
}

fn map(
    state: &mut State,
    file: FileId,
    (index, count): (u64, usize),
    (rights, private): (Rights, bool),
    slot: usize,
    outcome: &Outcome,
) -> Verdict {
    let writing = rights == Rights::ReadWrite;
    let region = state.find(file, index, Some(count));
    let region = region.filter(|_| !(private && writing));
    let Some(region) = region.filter(|region| state.region(*region).mapped.is_none()) else {
        return expect(outcome, &Outcome::Error(EINVAL));
    };
    let grants = state.region(region).grants.clone();
    let (expected, pages) = mapping_of(state, &grants, writing);
    if expected.compare(outcome)? {
        grants
            .iter()
            .for_each(|grant| state.grants.set_used(*grant));
        let piece = Piece {
            source: Source::Region(file, region),
            first: 0,
            pages,
            rights,
            may_write: writing,
            presence: Presence::Present,
        };
        state.map(slot, (file, region), piece);
    }
    Ok(())
}

fn set_notify(
    state: &mut State,
    file: FileId,
    index: u64,
    action: u32,
    open_port: bool,
    outcome: &Outcome,
) -> Verdict {
    let clears = action & notify::CLEAR_BYTE != 0;
    let sends = action & notify::SEND_EVENT != 0;
    let is_unknown = action & !(notify::CLEAR_BYTE | notify::SEND_EVENT) != 0;
    if is_unknown || (sends && !open_port) {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    let Some((region, at)) = state.find_containing(file, index) else {
        return expect(outcome, &Outcome::Error(ENOENT));
    };
    let region = state.region(region);
    let is_read_only = region
        .mapped
        .as_ref()
        .is_some_and(|mapped| !mapped.writable);
    if clears && is_read_only {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    region.clear_byte = clears.then_some(at);
    expect(outcome, &Outcome::Done)
}

fn place_of(state: &mut State, slot: usize, outcome: &Outcome) -> Verdict {
    let source = state.pieces[slot].as_ref().map(|piece| piece.source);
    let Some(Source::Region(_, region)) = source else {
        return expect(outcome, &Outcome::Error(EINVAL));
    };
    let region = state.region(region);
    let expected = Outcome::Place {
        offset: region.index,
        count: region.grants.len() as u32,
    };
    expect(outcome, &expected)
}

fn export(
    state: &mut State,
    file: FileId,
    (grants, bad): (&[GrantRef], bool),
    (flags, offset): (u32, usize),
    slot: usize,
    outcome: &Outcome,
) -> Verdict {
    let first = offset / PAGE_SIZE;
    if flags > 2 || first >= grants.len() {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    let (mut expected, pages) = mapping_of(state, &grants[first..], true);
    if bad {
        expected = expected.or(EINVAL).failure();
    }
    if expected.compare(outcome)? {
        let &Outcome::Number(number) = outcome else {
            return Err(format!("{outcome:?}, expected a descriptor"));
        };
        for grant in &grants[first..] {
            state.grants.set_used(*grant);
        }
        state.export(slot, file, number as u32, pages);
    }
    Ok(())
}

fn wait(state: &mut State, file: FileId, number: u32, is_long: bool, outcome: &Outcome) -> Verdict {
    let exports = state.file(file).exports.clone();
    let named: Vec<_> = exports
        .iter()
        .filter(|(other, _)| *other == number)
        .collect();
    let expected = match named.last() {
        None => Expected::error(ENOENT),
        Some((_, newest)) if state.is_held(*newest) => Expected::error(ETIMEDOUT),
        Some(_) if is_long => Expected::either(ENOENT),
        Some(_) => Expected::either(ENOENT).or(ETIMEDOUT),
    };
    let success = expected.compare(outcome)?;
    if *outcome == Outcome::Error(ENOENT) || (success && named.len() == 1) {
        let file = state.file(file);
        file.exports.retain(|(other, _)| *other != number);
        file.released += named.len() as u64;
    }
    Ok(())
}

/// `name` is that of an open descriptor, and `is_good` true if the other arguments are correct.
fn import(
    state: &mut State,
    file: FileId,
    name: Option<MemoryName>,
    is_good: bool,
    outcome: &Outcome,
) -> Verdict {
    let expected = match name {
        Some(_) if is_good => Expected::success(),
        Some(_) => Expected::error(EINVAL),
        None if is_good => Expected::error(EBADF),
        None => Expected::error(EBADF).or(EINVAL),
    };
    let success = expected.compare(outcome)?;
    let (Outcome::References(references), Some(name), true) = (outcome, name, success) else {
        return Ok(());
    };
    let different: BTreeSet<&u32> = references.iter().collect();
    if references.len() != name.pages || different.len() != name.pages {
        return Err(format!("{outcome:?}, expected {} references", name.pages));
    }
    state.file(file).imports.push(name.number);
    Ok(())
}

fn read(state: &mut State, file: FileId, length: usize, outcome: &Outcome) -> Verdict {
    if length < size_of::<u64>() {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    let file = state.file(file);
    let count = match *outcome {
        Outcome::Error(EAGAIN) => 0,
        Outcome::Number(count) if count != 0 => count,
        _ => return Err(format!("{outcome:?}, expected a number")),
    };
    if !file.unread().contains(&count) {
        return Err(format!("{outcome:?}, expected {:?}", file.unread()));
    }
    file.read += count;
    Ok(())
}

fn poll(state: &mut State, file: FileId, outcome: &Outcome) -> Verdict {
    let unread = state.file(file).unread();
    match *outcome {
        Outcome::Number(0) if *unread.start() == 0 => Ok(()),
        Outcome::Number(1) if *unread.end() != 0 => Ok(()),
        _ => Err(format!("{outcome:?}, expected {unread:?} released buffers")),
    }
}

/// The answer cannot be written, and nothing of the call may stay.
fn read_only_argument(state: &mut State, request: Answering, outcome: &Outcome) -> Option<Verdict> {
    let expected = match request {
        Answering::Insert(_) => Expected::success(),
        Answering::Export(share) => {
            let grants = state.grants.of_share(share)?.to_vec();
            let (expected, _) = mapping_of(state, &grants, true);
            grants
                .iter()
                .for_each(|grant| state.grants.set_used(*grant));
            expected
        }
        Answering::Import(memory) => {
            state.memories[memory].filter(|name| name.open)?;
            Expected::success()
        }
    };
    Some(
        expected
            .instead_of_success(EFAULT)
            .compare(outcome)
            .map(drop),
    )
}

/// Returns the expected result of an access to a mapping.
fn access(piece: &Piece, rights: Rights, by: By) -> Expected {
    let error = match by {
        By::Reference => EIO,
        By::Program | By::Kernel => EFAULT,
    };
    // The kernel reads by references also if the program may not.
    let is_forced = by == By::Reference && rights == Rights::Read && piece.rights == Rights::None;
    // Some kinds of memory cannot be referred to.
    let is_unsure = by == By::Reference && matches!(piece.source, Source::Buffer(_));
    let has_rights = piece.rights >= rights;
    match piece.presence {
        Presence::Gone => Expected::error(error),
        _ if is_forced => Expected::either(error),
        _ if !has_rights => Expected::error(error),
        Presence::Present if !is_unsure => Expected::success(),
        _ => Expected::either(error),
    }
}

fn discard(piece: &mut Piece, outcome: &Outcome) -> Verdict {
    match piece.source {
        Source::Region(..) => {
            piece.presence = Presence::Gone;
            expect(outcome, &Outcome::Done)
        }
        Source::Buffer(_) => {
            if Expected::either(EINVAL).compare(outcome)? {
                piece.presence = Presence::Unknown;
            }
            Ok(())
        }
    }
}

fn relocate(state: &mut State, slot: usize, outcome: &Outcome) -> Option<Verdict> {
    let piece = state.pieces[slot].as_mut()?;
    match piece.source {
        Source::Region(..) => {
            if state.is_paravirtual() {
                state.take_pages(slot);
            }
            Some(expect(outcome, &Outcome::Done))
        }
        Source::Buffer(_) => {
            piece.presence = Presence::Unknown;
            let expected = Expected::either(EFAULT).or(EINVAL);
            Some(expected.compare(outcome).map(|success| {
                // The machine gives up a mapping that it could not move.
                if !success {
                    state.unmap(slot);
                }
            }))
        }
    }
}

fn fork(piece: &Piece, paravirtual: bool, outcome: &Outcome) -> Verdict {
    let &Outcome::Ended(end) = outcome else {
        return Err(format!("{outcome:?}, expected the end of a process"));
    };
    let expected: &[End] = match (paravirtual, piece.presence) {
        // A paravirtual mapping is not copied.
        (true, _) => &[End::Signalled(SIGSEGV)],
        _ if piece.rights == Rights::None => &[End::Signalled(SIGSEGV)],
        (false, Presence::Present) => &[End::Exited(0)],
        (false, Presence::Gone) => &[End::Signalled(SIGBUS)],
        (false, Presence::Unknown) => &[End::Exited(0), End::Signalled(SIGBUS)],
    };
    if expected.contains(&end) {
        return Ok(());
    }
    Err(format!("{end:?}, expected one of {expected:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Grant;

    const DOMU: u32 = 5;
    const PARAVIRTUAL: Setting = Setting {
        paravirtual: true,
        domu: Some(DOMU),
    };
    const AUTO_TRANSLATED: Setting = Setting {
        paravirtual: false,
        domu: Some(DOMU),
    };

    fn grant(page: usize) -> Grant {
        Grant::Of { share: 1, page }
    }

    /// Model of a process with a file in slot 0, a share of the domU in slot 1, and a region of its
    /// two pages in slot 0.
    fn with_region(setting: Setting, writable: bool) -> Model {
        let mut model = Model::new(setting);
        let grants = [8, 9].map(|reference| GrantRef {
            domid: DOMU,
            reference,
        });
        let operations = [
            (
                Operation::Share {
                    share: 1,
                    pages: 2,
                    writable,
                    seed: 3,
                },
                Outcome::Grants(grants.to_vec()),
            ),
            (
                Operation::Open {
                    file: 0,
                    duplicate: None,
                },
                Outcome::Done,
            ),
            (
                Operation::Insert {
                    file: 0,
                    region: 0,
                    grants: vec![grant(0), grant(1)],
                },
                Outcome::Number(0),
            ),
        ];
        for (operation, outcome) in operations {
            assert_eq!(model.judge(&operation, &outcome), Ok(()));
        }
        model
    }

    fn map(mapping: usize, rights: Rights) -> Operation {
        Operation::Map {
            file: 0,
            region: 0,
            mapping,
            range: Range::Exact,
            rights,
            private: false,
        }
    }

    /// Fails unless `outcome` is expected, and each of `others` is not. Only for operations whose
    /// outcome is compared before the model follows it.
    fn assert_only(model: &mut Model, operation: &Operation, outcome: Outcome, others: &[Outcome]) {
        for other in others {
            assert!(model.judge(operation, other).is_err(), "{other:?}");
        }
        assert_eq!(model.judge(operation, &outcome), Ok(()));
    }

    #[test]
    fn a_region_is_mapped_once() {
        let mut model = with_region(PARAVIRTUAL, true);
        let operation = map(0, Rights::ReadWrite);
        assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        let again = map(1, Rights::Read);
        let wrong = [Outcome::Error(EFAULT), Outcome::Nothing];
        assert_only(&mut model, &again, Outcome::Error(EINVAL), &wrong);
    }

    #[test]
    fn a_slot_in_use_leaves_nothing_to_do() {
        let mut model = with_region(PARAVIRTUAL, true);
        let operation = map(0, Rights::ReadWrite);
        assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        assert_only(&mut model, &operation, Outcome::Nothing, &[Outcome::Done]);
    }

    #[test]
    fn a_read_only_grant_is_not_mapped_for_writing() {
        let mut model = with_region(AUTO_TRANSLATED, false);
        let write = map(0, Rights::ReadWrite);
        assert_only(&mut model, &write, Outcome::Error(EINVAL), &[]);
        let read = map(0, Rights::Read);
        assert_only(&mut model, &read, Outcome::Done, &[Outcome::Error(EINVAL)]);
        let protect = Operation::Protect {
            mapping: 0,
            rights: Rights::ReadWrite,
        };
        assert_only(
            &mut model,
            &protect,
            Outcome::Error(EACCES),
            &[Outcome::Error(EINVAL)],
        );
    }

    #[test]
    fn wrong_data_is_found() {
        let mut model = with_region(PARAVIRTUAL, true);
        let operation = map(0, Rights::ReadWrite);
        assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        let store = Operation::Store {
            mapping: 0,
            at: 5000,
            value: 77,
            by: By::Program,
        };
        let before = model.contents(0).unwrap();
        assert_eq!(model.judge(&store, &Outcome::Done), Ok(()));
        let mut after = before.clone();
        after[5000] = 77;
        let load = Operation::Load {
            mapping: 0,
            by: By::Kernel,
        };
        let wrong = [Outcome::Bytes(before), Outcome::Error(EFAULT)];
        assert_only(&mut model, &load, Outcome::Bytes(after), &wrong);
    }

    /// The whole region ends together in an auto-translated domain, each page in a paravirtual one.
    #[test]
    fn a_byte_is_cleared_when_its_page_ends() {
        for (setting, is_early) in [(PARAVIRTUAL, true), (AUTO_TRANSLATED, false)] {
            let mut model = with_region(setting, true);
            let operations = [
                map(0, Rights::ReadWrite),
                Operation::Notify {
                    file: 0,
                    region: 0,
                    at: 4096 + 7,
                    action: notify::CLEAR_BYTE,
                    open_port: false,
                },
                Operation::Split {
                    mapping: 0,
                    rest: 1,
                    at: 1,
                },
                Operation::Unmap { mapping: 1 },
            ];
            for operation in operations {
                assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
            }
            let page = 1;
            let byte = |model: &Model| model.state.grants.read(&[page], 7, 1)[0];
            let before = guest_test::pattern::pattern(3, 4096 + 7);
            assert_eq!(byte(&model), if is_early { 0 } else { before });
            // The file has the region as long as the other page is mapped.
            for operation in [
                Operation::Close { file: 0 },
                Operation::Unmap { mapping: 0 },
            ] {
                assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
            }
            assert_eq!(byte(&model), 0);
        }
    }

    #[test]
    fn a_removed_region_is_unknown() {
        let mut model = with_region(PARAVIRTUAL, true);
        let remove = Operation::Remove {
            file: 0,
            region: 0,
            range: Range::Exact,
            any_count: false,
        };
        assert_only(&mut model, &remove, Outcome::Done, &[]);
        assert_only(
            &mut model,
            &remove,
            Outcome::Error(ENOENT),
            &[Outcome::Done],
        );
        let map = map(0, Rights::Read);
        assert_only(&mut model, &map, Outcome::Error(EINVAL), &[Outcome::Done]);
    }

    #[test]
    fn a_domain_does_not_map_its_own_pages_unless_it_is_paravirtual() {
        for (setting, outcome) in [
            (PARAVIRTUAL, Outcome::Done),
            (AUTO_TRANSLATED, Outcome::Error(EOPNOTSUPP)),
        ] {
            let mut model = with_region(setting, true);
            let own = GrantRef {
                domid: DOM0,
                reference: 3,
            };
            let share = Operation::Share {
                share: 0,
                pages: 1,
                writable: true,
                seed: 4,
            };
            assert_eq!(model.judge(&share, &Outcome::Grants(vec![own])), Ok(()));
            let insert = Operation::Insert {
                file: 0,
                region: 0,
                grants: vec![Grant::Of { share: 0, page: 0 }],
            };
            let offset = 2 * PAGE_SIZE as u64;
            assert_only(
                &mut model,
                &insert,
                Outcome::Number(offset),
                &[Outcome::Number(4096)],
            );
            let map = map(0, Rights::Read);
            assert_only(&mut model, &map, outcome, &[Outcome::Error(EINVAL)]);
        }
    }

    #[test]
    fn a_held_buffer_is_not_released() {
        let mut model = with_region(AUTO_TRANSLATED, true);
        let export = Operation::Export {
            file: 0,
            buffer: 2,
            share: 1,
            flags: 0,
            offset: None,
            bad: false,
        };
        let wait = Operation::Wait {
            file: 0,
            buffer: 2,
            long: true,
        };
        let read = Operation::Read { file: 0, length: 8 };
        let close = Operation::CloseBuffer { buffer: 2 };
        let done = [Outcome::Done, Outcome::Error(ENOENT)];
        assert_only(
            &mut model,
            &export,
            Outcome::Number(11),
            &[Outcome::Error(EINVAL)],
        );
        assert_only(&mut model, &wait, Outcome::Error(ETIMEDOUT), &done);
        assert_only(
            &mut model,
            &read,
            Outcome::Error(EAGAIN),
            &[Outcome::Number(1)],
        );
        assert_only(&mut model, &close, Outcome::Done, &[]);
        assert_only(
            &mut model,
            &wait,
            Outcome::Done,
            &[Outcome::Error(ETIMEDOUT)],
        );
        let wrong = [Outcome::Error(EAGAIN), Outcome::Number(2)];
        assert_only(&mut model, &read, Outcome::Number(1), &wrong);
        assert_only(&mut model, &wait, Outcome::Error(ENOENT), &[Outcome::Done]);
    }

    #[test]
    fn the_grants_of_an_ended_share_may_be_refused() {
        let mut model = with_region(PARAVIRTUAL, true);
        for operation in [map(0, Rights::Read), Operation::Unshare { share: 1 }] {
            assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        }
        let insert = Operation::Insert {
            file: 0,
            region: 0,
            grants: vec![grant(0)],
        };
        assert_eq!(model.judge(&insert, &Outcome::Number(0x2000)), Ok(()));
        assert_eq!(
            model.judge(&map(1, Rights::Read), &Outcome::Error(EINVAL)),
            Ok(())
        );
        assert_eq!(model.judge(&map(1, Rights::Read), &Outcome::Done), Ok(()));
        let load = Operation::Load {
            mapping: 1,
            by: By::Program,
        };
        let bytes = model.contents(1).unwrap();
        assert_only(
            &mut model,
            &load,
            Outcome::Bytes(bytes),
            &[Outcome::Error(EFAULT)],
        );
    }
}
