// SPDX-License-Identifier: GPL-2.0

//! Model of grant copies.

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::gntdev::BadAddress;
use xen_grants::grant_copy::OKAY;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::grants::PageId;
use crate::grants::Permission;
use crate::operation::CopyEnd;
use crate::operation::CopySegment;
use crate::operation::Rights;
use crate::operation::SCRATCH_PAGES;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::state::Piece;
use crate::state::Presence;
use crate::state::State;

/// End of a segment, by the slots' contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Granted page, from this offset on.
    Grant(GrantRef, u16),
    /// The program's own memory, from this offset on.
    Scratch(usize),
    /// Mapping in a slot, from this offset on.
    Mapping(usize, usize),
    /// Address that no memory can have.
    Bad(BadAddress),
}

/// Segment, by the slots' contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// End that the bytes are read from.
    pub source: End,
    /// End that the bytes are written to.
    pub destination: End,
    /// Number of bytes.
    pub length: u16,
}

/// Answer to the access to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    Maybe,
    No,
}

/// The program's own memory for copies.
#[derive(Debug)]
pub struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    /// Memory of zeroes.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; SCRATCH_PAGES * PAGE_SIZE],
        }
    }

    /// Returns the segments that `segments` stand for. An end in a mapping becomes one in the
    /// scratch memory if the slot is empty or the mapping too short, and so does the source of a
    /// segment whose ends overlap: the result of such a copy is not determined.
    pub fn resolve(&self, state: &State, segments: &[CopySegment]) -> Vec<Segment> {
        let end = |end, length| match end {
            CopyEnd::Grant(grant, offset) => End::Grant(state.grants.resolve(grant), offset),
            CopyEnd::Scratch(at) => End::Scratch(at),
            CopyEnd::Bad(address) => End::Bad(address),
            CopyEnd::Mapping(slot, at) => {
                let size = state.pieces[slot]
                    .as_ref()
                    .map(|piece| piece.pages.len() * PAGE_SIZE);
                match size {
                    Some(size) if at % size + usize::from(length) <= size => {
                        End::Mapping(slot, at % size)
                    }
                    _ => End::Scratch(at),
                }
            }
        };
        let resolved = segments.iter().map(|segment| {
            let mut resolved = Segment {
                source: end(segment.source, segment.length),
                destination: end(segment.destination, segment.length),
                length: segment.length,
            };
            let source = pages_of(state, resolved.source);
            let destination = pages_of(state, resolved.destination);
            if source.iter().any(|page| destination.contains(page)) {
                resolved.source = End::Scratch(0);
            }
            resolved
        });
        resolved.collect()
    }

    /// Compares the outcome of a copy with those that are expected, and follows it.
    ///
    /// # Errors
    ///
    /// A message if the device must not answer so.
    pub fn judge(
        &mut self,
        state: &mut State,
        segments: &[Segment],
        outcome: &Outcome,
    ) -> Result<(), String> {
        if !expected(state, segments).compare(outcome)? {
            // All segments are checked before the first is copied.
            return Ok(());
        }
        let Outcome::Statuses(statuses) = outcome else {
            return Err(format!("{outcome:?}, expected statuses"));
        };
        if statuses.len() != segments.len() {
            return Err(format!("{} statuses", statuses.len()));
        }
        for (index, (segment, status)) in segments.iter().zip(statuses).enumerate() {
            let answer = granted(state, segment);
            let is_copied = *status == OKAY;
            if (answer == Answer::Yes && !is_copied) || (answer == Answer::No && is_copied) {
                return Err(format!(
                    "status {status} of segment {index}, expected {answer:?}"
                ));
            }
            if is_copied {
                self.follow(state, segment);
            }
        }
        Ok(())
    }

    /// Moves the bytes of a segment.
    fn follow(&mut self, state: &mut State, segment: &Segment) {
        let length = usize::from(segment.length);
        if length == 0 {
            return;
        }
        let bytes = match segment.source {
            End::Scratch(at) => self.bytes[at..at + length].to_vec(),
            end => state
                .grants
                .read(&pages_of(state, end), offset_of(end), length),
        };
        match segment.destination {
            End::Scratch(at) => self.bytes[at..at + length].copy_from_slice(&bytes),
            end => {
                let pages = pages_of(state, end);
                state.grants.write(&pages, offset_of(end), &bytes);
            }
        }
    }

    /// Returns all bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the pages that an end is in.
fn pages_of(state: &State, end: End) -> Vec<PageId> {
    match end {
        End::Grant(grant, _) => match state.grants.permission(grant, false) {
            Permission::Granted(page) | Permission::Ending(page) => vec![page],
            Permission::Refused => Vec::new(),
        },
        End::Mapping(slot, _) => {
            let piece = state.pieces[slot].as_ref();
            piece.map_or(Vec::new(), |piece| piece.pages.clone())
        }
        End::Scratch(_) | End::Bad(_) => Vec::new(),
    }
}

fn offset_of(end: End) -> usize {
    match end {
        End::Grant(_, offset) => offset.into(),
        End::Scratch(at) | End::Mapping(_, at) => at,
        End::Bad(_) => 0,
    }
}

/// Returns the expected result of the call.
fn expected(state: &State, segments: &[Segment]) -> Expected {
    let mut expected = Expected::success();
    for segment in segments {
        let ends = [
            (segment.source, Rights::Read),
            (segment.destination, Rights::ReadWrite),
        ];
        let length = usize::from(segment.length);
        let is_local = |(end, _): &(End, Rights)| !matches!(end, End::Grant(..));
        let crosses = |(end, _): &(End, Rights)| match end {
            End::Grant(_, offset) => usize::from(*offset) + length > PAGE_SIZE,
            _ => false,
        };
        if ends.iter().all(is_local) || ends.iter().any(crosses) {
            expected = expected.or(EINVAL).failure();
        }
        for (end, rights) in ends.into_iter().filter(|_| length != 0) {
            match pinned(state, end, rights) {
                Answer::Yes => {}
                Answer::Maybe => expected = expected.or(EFAULT),
                Answer::No => expected = expected.or(EFAULT).failure(),
            }
        }
    }
    expected
}

/// Returns whether the kernel can pin the memory of an end of the program.
fn pinned(state: &State, end: End, rights: Rights) -> Answer {
    let pinned_piece = |piece: &Piece| match piece.presence {
        Presence::Gone => Answer::No,
        _ if piece.rights < rights => Answer::No,
        Presence::Present => Answer::Yes,
        Presence::Unknown => Answer::Maybe,
    };
    match end {
        End::Grant(..) | End::Scratch(_) => Answer::Yes,
        End::Mapping(slot, _) => state.pieces[slot].as_ref().map_or(Answer::No, pinned_piece),
        End::Bad(_) => Answer::No,
    }
}

/// Returns whether Xen allows the accesses of a segment.
fn granted(state: &State, segment: &Segment) -> Answer {
    if segment.length == 0 {
        return Answer::Yes;
    }
    let answer = |end, writing| match end {
        End::Grant(grant, _) => match state.grants.permission(grant, writing) {
            Permission::Granted(_) => Answer::Yes,
            Permission::Ending(_) => Answer::Maybe,
            Permission::Refused => Answer::No,
        },
        _ => Answer::Yes,
    };
    match (
        answer(segment.source, false),
        answer(segment.destination, true),
    ) {
        (Answer::No, _) | (_, Answer::No) => Answer::No,
        (Answer::Yes, Answer::Yes) => Answer::Yes,
        _ => Answer::Maybe,
    }
}
