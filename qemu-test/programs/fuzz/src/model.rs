// SPDX-License-Identifier: GPL-2.0

//! Model of the device: the results that it must answer operations with, as
//! `Documentation/xen/gntdev.rst` says. Where that leaves several, each of them is accepted.

use guest_test::errno::EACCES;
use guest_test::errno::EAGAIN;
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
use crate::operation::By;
use crate::operation::Operation;
use crate::operation::Range;
use crate::operation::Rights;
use crate::outcome::expect;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::state::FileId;
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
        file.surely_released += named.len() as u64;
    }
    Ok(())
}

fn read(state: &mut State, file: FileId, length: usize, outcome: &Outcome) -> Verdict {
    if length < size_of::<u64>() {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    let file = state.file(file);
    match *outcome {
        Outcome::Error(EAGAIN) if file.surely_released == 0 => {}
        Outcome::Number(count)
            if (1.max(file.surely_released)..=file.maybe_released).contains(&count) =>
        {
            file.maybe_released -= count;
            file.surely_released = 0;
        }
        _ => {
            return Err(format!(
                "{outcome:?}, expected {} to {} released buffers",
                file.surely_released, file.maybe_released
            ))
        }
    }
    Ok(())
}

fn poll(state: &mut State, file: FileId, outcome: &Outcome) -> Verdict {
    let file = state.file(file);
    match *outcome {
        Outcome::Number(0) if file.surely_released == 0 => Ok(()),
        Outcome::Number(1) if file.maybe_released != 0 => {
            file.surely_released = file.surely_released.max(1);
            Ok(())
        }
        _ => Err(format!(
            "{outcome:?}, expected {} to {} released buffers",
            file.surely_released, file.maybe_released
        )),
    }
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
