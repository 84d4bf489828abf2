// SPDX-License-Identifier: GPL-2.0

//! Model of dma-bufs.

use std::collections::BTreeSet;

use guest_test::errno::EAGAIN;
use guest_test::errno::EBADF;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::ETIMEDOUT;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use super::region::mapping_of;
use crate::outcome::expect;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::outcome::Verdict;
use crate::state::FileId;
use crate::state::MemoryName;
use crate::state::State;

/// Compares the outcome of an export with those that are expected, and follows it.
pub fn export(
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

/// Compares the outcome of a wait for the release of a dma-buf with those that are expected, and
/// follows it.
pub fn wait(
    state: &mut State,
    file: FileId,
    number: u32,
    is_long: bool,
    outcome: &Outcome,
) -> Verdict {
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

/// Compares the outcome of an import with those that are expected, and follows it.
///
pub fn import(
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

/// Compares the outcome of `read()` with those that are expected, and follows it.
pub fn read(state: &mut State, file: FileId, length: usize, outcome: &Outcome) -> Verdict {
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

/// Compares the outcome of `poll()` with those that are expected.
pub fn poll(state: &mut State, file: FileId, outcome: &Outcome) -> Verdict {
    let unread = state.file(file).unread();
    match *outcome {
        Outcome::Number(0) if *unread.start() == 0 => Ok(()),
        Outcome::Number(1) if *unread.end() != 0 => Ok(()),
        _ => Err(format!("{outcome:?}, expected {unread:?} released buffers")),
    }
}
