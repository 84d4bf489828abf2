// SPDX-License-Identifier: GPL-2.0

//! Model of grant copies.

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::gntdev::BadAddress;
use xen_grants::grant_copy::OKAY;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::argument::CopyEnd;
use crate::argument::CopySegment;
use crate::argument::Rights;
use crate::grants::PageId;
use crate::grants::Permission;
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
    /// scratch memory if the slot is empty, or the mapping too short or one of pages of two
    /// domains. So does the source of a segment whose ends overlap: the result of such a copy is
    /// not determined.
    pub fn resolve(&self, state: &State, segments: &[CopySegment]) -> Vec<Segment> {
        let end = |end, length| match end {
            CopyEnd::Grant(grant, offset) => {
                let GrantRef { domid, reference } = state.grants.resolve(grant);
                // A segment has 16 bits for the domain.
                let domid = domid & u32::from(u16::MAX);
                End::Grant(GrantRef { domid, reference }, offset)
            }
            CopyEnd::Scratch(at) => End::Scratch(at),
            CopyEnd::Bad(address) => End::Bad(address),
            CopyEnd::Mapping(slot, at) => {
                let piece = state.pieces[slot].as_ref();
                // A copy of pages of two domains is done in part.
                let piece = piece.filter(|piece| state.grants.owner(&piece.pages).is_some());
                match piece.map(|piece| piece.pages.len() * PAGE_SIZE) {
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

/// Returns true if the mapping in slot `slot` is one of pages of dom0.
fn is_own(state: &State, slot: usize) -> bool {
    let piece = state.pieces[slot].as_ref();
    piece.is_some_and(|piece| state.grants.owner(&piece.pages) == Some(DOM0))
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
        // Xen copies from and to frames of this domain only, at an end that is no grant.
        End::Mapping(slot, _) if !is_own(state, slot) => Answer::No,
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

#[cfg(test)]
mod tests {
    use guest_test::pattern::pattern;

    use super::*;
    use crate::argument::Grant;
    use crate::grants::Grants;
    use crate::state::Source;

    fn state(writable: bool) -> State {
        let mut grants = Grants::new(5);
        let grant = GrantRef {
            domid: 5,
            reference: 8,
        };
        grants.share(0, &[grant], writable, 3);
        State::new(true, true, grants)
    }

    fn granted_page(offset: u16) -> CopyEnd {
        CopyEnd::Grant(Grant::Of { share: 0, page: 0 }, offset)
    }

    fn segment(source: CopyEnd, destination: CopyEnd, length: u16) -> CopySegment {
        CopySegment {
            source,
            destination,
            length,
        }
    }

    fn judge(
        scratch: &mut Scratch,
        state: &mut State,
        copy: CopySegment,
        outcome: Outcome,
    ) -> bool {
        let segments = scratch.resolve(state, &[copy]);
        scratch.judge(state, &segments, &outcome).is_ok()
    }

    #[test]
    fn bytes_are_copied() {
        let (mut scratch, mut state) = (Scratch::new(), state(true));
        let copy = segment(granted_page(10), CopyEnd::Scratch(4090), 20);
        assert!(!judge(
            &mut scratch,
            &mut state,
            copy,
            Outcome::Error(EINVAL)
        ));
        assert!(!judge(
            &mut scratch,
            &mut state,
            copy,
            Outcome::Statuses(vec![-1])
        ));
        assert!(judge(
            &mut scratch,
            &mut state,
            copy,
            Outcome::Statuses(vec![OKAY])
        ));
        assert_eq!(scratch.bytes()[4090], pattern(3, 10));
        assert_eq!(scratch.bytes()[4109], pattern(3, 29));
        assert_eq!(scratch.bytes()[4110], 0);
    }

    #[test]
    fn a_read_only_page_is_not_written() {
        let (mut scratch, mut state) = (Scratch::new(), state(false));
        let copy = segment(CopyEnd::Scratch(0), granted_page(0), 1);
        assert!(!judge(
            &mut scratch,
            &mut state,
            copy,
            Outcome::Statuses(vec![OKAY])
        ));
        assert!(judge(
            &mut scratch,
            &mut state,
            copy,
            Outcome::Statuses(vec![-1])
        ));
        assert_eq!(state.grants.read(&[0], 0, 1), [pattern(3, 0)]);
    }

    #[test]
    fn arguments_are_checked() {
        let bad = CopyEnd::Bad(BadAddress::Null);
        let cases = [
            (
                segment(CopyEnd::Scratch(0), CopyEnd::Scratch(100), 1),
                EINVAL,
            ),
            (segment(granted_page(4000), CopyEnd::Scratch(0), 97), EINVAL),
            (segment(granted_page(0), bad, 1), EFAULT),
        ];
        for (copy, error) in cases {
            let (mut scratch, mut state) = (Scratch::new(), state(true));
            assert!(judge(&mut scratch, &mut state, copy, Outcome::Error(error)));
            assert!(!judge(
                &mut scratch,
                &mut state,
                copy,
                Outcome::Statuses(vec![OKAY])
            ));
            assert!(!judge(
                &mut scratch,
                &mut state,
                copy,
                Outcome::Error(EINVAL + EFAULT - error)
            ));
        }
        // Nothing is accessed for a segment without a byte.
        let (mut scratch, mut state) = (Scratch::new(), state(true));
        let copy = segment(granted_page(0), bad, 0);
        assert!(judge(
            &mut scratch,
            &mut state,
            copy,
            Outcome::Statuses(vec![OKAY])
        ));
    }

    /// The frame behind a mapped grant belongs to this domain only if it granted the page itself.
    #[test]
    fn mapped_memory_of_another_domain_is_not_copied() {
        for (domid, status) in [(5, -1), (DOM0, OKAY)] {
            let (mut scratch, mut state) = (Scratch::new(), state(true));
            let grant = GrantRef {
                domid,
                reference: 9,
            };
            state.grants.share(1, &[grant], true, 4);
            state.pieces[2] = Some(Piece {
                source: Source::Buffer(0),
                first: 0,
                pages: vec![1],
                rights: Rights::ReadWrite,
                may_write: true,
                presence: Presence::Present,
            });
            let copy = segment(granted_page(0), CopyEnd::Mapping(2, 0), 10);
            for other in [-1, OKAY] {
                let outcome = Outcome::Statuses(vec![other]);
                let is_good = judge(&mut scratch, &mut state, copy, outcome);
                assert_eq!(is_good, other == status, "domain {domid}, status {other}");
            }
        }
    }

    #[test]
    fn a_copy_within_a_page_is_replaced() {
        let scratch = Scratch::new();
        let copy = segment(granted_page(0), granted_page(1), 10);
        let resolved = scratch.resolve(&state(true), &[copy]);
        assert_eq!(resolved[0].source, End::Scratch(0));
    }
}
