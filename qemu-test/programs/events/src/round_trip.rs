// SPDX-License-Identifier: GPL-2.0

//! The time that an event from dom0 to a domU and one back take.

use std::io;
use std::time::Duration;
use std::time::Instant;

use crate::arrivals::ARRIVAL_LIMIT;
use crate::board::Command;
use crate::board::End;
use crate::board::Field;
use crate::link::Link;
use crate::storm::Side;
use crate::storm::NAP;

/// Sends an event on one lane after the other, `count` times, and waits for the domU's each time.
pub fn measure(link: &Link, count: usize) -> io::Result<Vec<Duration>> {
    link.obtain(Command::Echo)?;
    let Side {
        board, channels, ..
    } = link.side();
    let mut taken = Vec::new();
    let times = (0..count)
        .map(|number| {
            let lane = number % board.lanes();
            let port = board.get(End::Dom0, lane, Field::Port);
            let begin = Instant::now();
            channels.notify(port)?;
            channels.take(&mut taken, ARRIVAL_LIMIT)?;
            let time = begin.elapsed();
            if taken != [port] {
                return Err(io::Error::other(format!(
                    "events on {taken:?}, not on port {port} alone"
                )));
            }
            channels.unmask(&taken)?;
            Ok(time)
        })
        .collect::<io::Result<Vec<Duration>>>()?;
    link.obtain(Command::Rest)?;
    Ok(times)
}

/// Sends back each event until `stop` says so.
pub(crate) fn echo(side: Side<'_>, stop: impl Fn() -> bool) -> io::Result<()> {
    let mut taken = Vec::new();
    while !stop() {
        side.channels.take(&mut taken, NAP)?;
        side.channels.unmask(&taken)?;
        for port in &taken {
            side.channels.notify(*port)?;
        }
    }
    Ok(())
}
