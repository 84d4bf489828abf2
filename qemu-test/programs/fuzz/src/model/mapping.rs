// SPDX-License-Identifier: GPL-2.0

//! Model of mappings.

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::EIO;
use guest_test::process::End;
use guest_test::signal::SIGBUS;
use guest_test::signal::SIGSEGV;

use crate::argument::By;
use crate::argument::Rights;
use crate::outcome::expect;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::outcome::Verdict;
use crate::state::Piece;
use crate::state::Presence;
use crate::state::Source;
use crate::state::State;

pub fn access(piece: &Piece, rights: Rights, by: By) -> Expected {
    let error = match by {
        By::Reference => EIO,
        By::Program | By::Kernel | By::Process | By::Direct => EFAULT,
    };
    // The kernel may write any page that it pins.
    let rights = if by == By::Direct {
        Rights::ReadWrite
    } else {
        rights
    };
    // The kernel reads by references also if the program may not.
    let is_forced = by == By::Reference && rights == Rights::Read && piece.rights == Rights::None;
    // Some kinds of memory cannot be referred to.
    let is_by_reference = matches!(by, By::Reference | By::Process | By::Direct);
    let is_unsure = is_by_reference && matches!(piece.source, Source::Buffer(_));
    let has_rights = piece.rights >= rights;
    match piece.presence {
        Presence::Gone => Expected::error(error),
        _ if is_forced => Expected::either(error),
        _ if !has_rights => Expected::error(error),
        Presence::Present if !is_unsure => Expected::success(),
        _ => Expected::either(error),
    }
}

/// Compares the outcome of `madvise()` with those that are expected, and follows it.
pub fn discard(piece: &mut Piece, outcome: &Outcome) -> Verdict {
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

/// Compares the outcome of `mremap()` with those that are expected, and follows it.
/// Returns `None` if there is no mapping in slot `slot`.
pub fn relocate(state: &mut State, slot: usize, outcome: &Outcome) -> Option<Verdict> {
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

/// Compares the end of a copy of the process with those that are expected.
pub fn fork(piece: &Piece, paravirtual: bool, outcome: &Outcome) -> Verdict {
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
