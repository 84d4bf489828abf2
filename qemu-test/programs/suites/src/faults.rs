// SPDX-License-Identifier: GPL-2.0

//! Walks over the points at which a call of the device can fail.
//!
//! The call is made again and again. The first time its first point of failure fails, the second
//! time its second one, until all of its points are behind it. Each walk is done twice, because
//! some allocations are made only once: those for the first mapping of a process, for example. The
//! first walk has each of them fail in its turn, but then passes over the point that comes after
//! it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use guest_test::counters::Counters;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENODEV;
use guest_test::errno::ENOENT;
use guest_test::errno::ENOMEM;
use guest_test::errno::ENOSPC;
use guest_test::fault_injection::FaultInjection;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::process::open_files;
use guest_test::totals;

use crate::wait::settle;
use crate::wait::PATIENCE;

/// Module whose calls fail.
const MODULE: &str = "xen_gntdev_rust";

/// Limit for the points of one call: a walk beyond it does not end.
const MOST_POINTS: u32 = 500;

/// Totals that a loss changes.
const LOST: [&str; 5] = [
    "mapped_grants",
    "grant_handles",
    "refused_unmaps",
    "lost_frames",
    "lost_handles",
];

/// Failure of a call, as the program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The call returns this error number.
    Errno(i32),
    /// A segment of a copy has this status.
    Status(i16),
    /// poll(2) reports an error of the file.
    PollError,
}

impl Failure {
    /// No memory.
    pub const NO_MEMORY: Self = Self::Errno(ENOMEM);
    /// The memory of the arguments cannot be read or written.
    pub const FAULT: Self = Self::Errno(EFAULT);
    /// Xen refuses a grant.
    pub const REFUSED: Self = Self::Errno(EINVAL);
    /// No grant references are left.
    pub const NO_SPACE: Self = Self::Errno(ENOSPC);
    /// A device of the driver cannot be registered.
    pub const NO_DEVICE: Self = Self::Errno(ENODEV);
    /// There is no node of the device.
    pub const NO_ENTRY: Self = Self::Errno(ENOENT);

    /// The failure that `error` stands for.
    pub fn of(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let number = error.raw_os_error();
        Self::Errno(number.unwrap_or_else(|| panic!("no error of a call: {error}")))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NO_MEMORY => write!(f, "ENOMEM"),
            Self::FAULT => write!(f, "EFAULT"),
            Self::REFUSED => write!(f, "EINVAL"),
            Self::NO_SPACE => write!(f, "ENOSPC"),
            Self::NO_DEVICE => write!(f, "ENODEV"),
            Self::NO_ENTRY => write!(f, "ENOENT"),
            Self::Errno(number) => write!(f, "{}", io::Error::from_raw_os_error(number)),
            Self::Status(status) => write!(f, "status {status}"),
            Self::PollError => write!(f, "POLLERR"),
        }
    }
}

/// Results of the points of a call.
#[derive(Default)]
pub struct Row {
    /// Number of points of each walk.
    pub points: Vec<u32>,
    failures: BTreeMap<Failure, u32>,
    /// Number of points whose failure had no effect for the caller.
    survived: u32,
}

impl Row {
    /// Adds the result of a point, at which `call` must fail by one of `expected`, or succeed.
    pub fn add(&mut self, call: &str, point: u32, expected: &[Failure], failure: Option<Failure>) {
        let Some(failure) = failure else {
            self.survived += 1;
            return;
        };
        let is_expected = expected.contains(&failure);
        assert!(
            is_expected,
            "{call}, point {point}: {failure} is unexpected"
        );
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Prints the row, once all points of `call` have passed. Fails the case unless each of
    /// `expected` has occurred.
    pub fn end(&self, call: &str, expected: &[Failure]) {
        for failure in expected {
            let seen = self.failures.contains_key(failure);
            assert!(seen, "{call}: no failure at any point was {failure}");
        }
        let mut results: Vec<String> = self
            .failures
            .iter()
            .map(|(failure, count)| format!("{count} {failure}"))
            .collect();
        if self.survived > 0 {
            results.push(format!("{} survived", self.survived));
        }
        print_row(call, &self.points, &results.join(", "));
    }
}

/// Prints a row of the matrix, once all points of `call` have passed: the numbers of points in each
/// walk, and the `results` of the call at them.
pub fn print_row(call: &str, points: &[u32], results: &str) {
    let points: Vec<String> = points.iter().map(u32::to_string).collect();
    let points = points.join(" + ");
    println!("# figures: {call:<40} {points:>9} points of failure, all passed: {results}");
}

/// Has each point of `call` fail, and fails the case unless
///
/// - the call then returns one of the failures `expected`, or succeeds as if nothing had happened;
/// - a failed call leaves nothing behind, neither in the driver's totals nor as a descriptor;
/// - the same call works after a failed one;
/// - each of `expected` has occurred.
///
/// Before each call `prepare` makes the state that it starts from, and after its success `end`
/// checks the result and gives it up.
pub fn walk<S, T>(
    name: &str,
    expected: &[Failure],
    prepare: impl FnMut() -> Result<S, Stop>,
    call: impl Fn(&S) -> Result<T, Failure>,
    end: impl FnMut(S, T) -> Verdict,
) -> Verdict {
    walk_with(name, expected, &[], prepare, call, end)
}

/// As [`walk`], but one of the failures `possible` may be returned as well, and need not occur.
pub fn walk_with<S, T>(
    name: &str,
    expected: &[Failure],
    possible: &[Failure],
    mut prepare: impl FnMut() -> Result<S, Stop>,
    call: impl Fn(&S) -> Result<T, Failure>,
    mut end: impl FnMut(S, T) -> Verdict,
) -> Verdict {
    let allowed = [expected, possible].concat();
    let injection = FaultInjection::of_module(MODULE)?;
    let mut row = Row::default();
    for _ in 0..2 {
        let points = walk_once(|point| {
            let state = prepare()?;
            let before = Before::now()?;
            let (answer, injected) = injection.fail(point, || call(&state))?;
            let result = match answer {
                Ok(result) => {
                    if injected {
                        row.add(name, point, &allowed, None);
                    }
                    result
                }
                Err(failure) => {
                    assert!(injected, "{name}: {failure} without an injected failure");
                    row.add(name, point, &allowed, Some(failure));
                    let place = format!("{name}, point {point}: {failure}");
                    before.assert_now(&place)?;
                    let again = call(&state);
                    again.unwrap_or_else(|failure| panic!("{place}, and then {failure}"))
                }
            };
            end(state, result)?;
            Ok(injected)
        })?;
        row.points.push(points);
    }
    row.end(name, expected);
    Ok(())
}

/// Losses at the points of a call.
pub struct Losses {
    /// Unmap operations that the hypervisor refused.
    pub refused: i64,
    /// Handles of mapped grants that were lost.
    pub handles: i64,
}

/// Has each point fail of `call`, which ends the state that `prepare` makes, and returns the
/// losses. Anything that it returns is dropped after that without a failure. `in_use` returns the
/// number of grants of the state that Xen lists as mapped in the end.
///
/// Fails the case unless at each point
///
/// - the driver's totals say that nothing is left, or which handles and frames are lost;
/// - Xen lists grants as mapped if, and only if, handles are lost.
pub fn walk_end<S, E, R>(
    name: &str,
    mut prepare: impl FnMut() -> Result<(S, E), Stop>,
    call: impl Fn(S) -> R,
    mut in_use: impl FnMut(E) -> io::Result<usize>,
) -> Result<Losses, Stop> {
    let injection = FaultInjection::of_module(MODULE)?;
    let (mut refused, mut handles) = (0, 0);
    let mut all = Vec::new();
    for _ in 0..2 {
        let points = walk_once(|point| {
            let before = totals::read()?;
            let (state, grants) = prepare()?;
            let (rest, injected) = injection.fail(point, || call(state))?;
            drop(rest);
            let place = format!("{name}, point {point}");
            let is_over = |now: &Counters| others(now, &before).is_empty();
            let now = settle(PATIENCE, totals::read, is_over)?;
            let left = others(&now, &before);
            assert!(left.is_empty(), "{place}: left in the totals: {left:?}");
            let change = |total| now.get(total).unwrap_or(0) - before.get(total).unwrap_or(0);
            let lost = change("lost_handles");
            assert_eq!(
                change("grant_handles"),
                lost,
                "{place}: handles, and lost ones"
            );
            let mapped = in_use(grants)?;
            assert_eq!(
                mapped > 0,
                lost > 0,
                "{place}: {lost} lost, {mapped} mapped"
            );
            if !injected {
                assert_eq!(change("refused_unmaps"), 0, "{place}: without a failure");
            }
            refused += change("refused_unmaps");
            handles += lost;
            Ok(injected)
        })?;
        all.push(points);
    }
    let results = format!("{refused} unmaps refused, {handles} handles lost");
    print_row(name, &all, &results);
    Ok(Losses { refused, handles })
}

/// Calls `attempt` with the numbers of points, until it returns false: the point was not reached.
/// Returns the number of points.
pub fn walk_once(mut attempt: impl FnMut(u32) -> Result<bool, Stop>) -> Result<u32, Stop> {
    for point in 1..=MOST_POINTS {
        if !attempt(point)? {
            return Ok(point - 1);
        }
    }
    panic!("more than {MOST_POINTS} points of failure");
}

/// Changes since `before` that no loss explains.
fn others<'a>(now: &'a Counters, before: &Counters) -> Vec<(&'a str, i64)> {
    let mut changes = totals::leaks(now, before);
    changes.retain(|(name, _)| !LOST.contains(name));
    changes
}

/// The driver's totals and the number of open files before a call.
struct Before {
    totals: Counters,
    files: usize,
}

impl Before {
    fn now() -> io::Result<Self> {
        Ok(Self {
            totals: totals::read()?,
            files: open_files()?,
        })
    }

    /// Fails the case if there is more than before, at `place`.
    fn assert_now(&self, place: &str) -> io::Result<()> {
        let as_before = |now: &Counters| totals::leaks(now, &self.totals).is_empty();
        let now = settle(PATIENCE, totals::read, as_before)?;
        let left = totals::leaks(&now, &self.totals);
        assert!(left.is_empty(), "{place} leaves in the totals: {left:?}");
        assert_eq!(open_files()?, self.files, "{place} leaves a descriptor");
        Ok(())
    }
}
