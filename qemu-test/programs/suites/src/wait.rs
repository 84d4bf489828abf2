// SPDX-License-Identifier: GPL-2.0

//! Waiting for what others do in their own time.

use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Longer than anything takes that comes at all, also in an emulator on a machine that is busy with
/// others. It counts the guest's clock, which goes on while the host runs something else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is as `wanted` or `limit` has passed,
/// and returns the last answer.
pub fn settle<T>(
    limit: Duration,
    mut question: impl FnMut() -> io::Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> io::Result<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        let answer = question()?;
        if wanted(&answer) || Instant::now() >= deadline {
            return Ok(answer);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Asks again and again until there is an answer or `limit` has passed.
pub fn until<T>(
    limit: Duration,
    question: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    settle(limit, question, Option::is_some)
}
