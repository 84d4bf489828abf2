// SPDX-License-Identifier: GPL-2.0

//! Waits for a state that no event announces.

use std::io;
use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Time limit for an event or a state that has to come. It is that long because the guest's clock
/// goes on while a busy host runs something else than the guest.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pauses of [`settle`].
const SHORT_PAUSES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(50);

/// Calls `question` until the answer is as `wanted` or `limit` has passed, and returns the last
/// answer.
pub fn settle<T>(
    limit: Duration,
    question: impl FnMut() -> io::Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> io::Result<T> {
    settle_with(SHORT_PAUSES, limit, question, wanted)
}

/// As [`settle`], with `pauses` between two questions: the first one, and the longest.
pub fn settle_with<T>(
    pauses: RangeInclusive<Duration>,
    limit: Duration,
    mut question: impl FnMut() -> io::Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> io::Result<T> {
    let deadline = Instant::now() + limit;
    let (mut pause, longest) = pauses.into_inner();
    loop {
        let answer = question()?;
        if wanted(&answer) || Instant::now() >= deadline {
            return Ok(answer);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// Calls `question` until there is an answer or `limit` has passed.
pub fn until<T>(
    limit: Duration,
    question: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    settle(limit, question, Option::is_some)
}
