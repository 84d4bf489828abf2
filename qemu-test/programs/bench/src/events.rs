// SPDX-License-Identifier: GPL-2.0

//! Event channels from dom0 to itself, so that no other domain takes part of the time.

use std::fs;
use std::io;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use ::events::ops::Ops;
use ::events::queues_file;
use suites::random::Random;
use xen_grants::event_channel::EventChannels;
use xen_grants::DOM0;

/// Line of the table.
pub struct Line {
    /// Name of the line, without spaces.
    pub name: &'static str,
    /// Opens the ports and returns the function that measures once.
    pub open: fn() -> io::Result<Measure>,
}

/// Function that measures once, and returns the nanoseconds for one unit.
pub type Measure = Box<dyn FnMut() -> io::Result<f64>>;

/// All lines, in the order of the table.
pub const LINES: &[Line] = &[
    Line {
        name: "event-round-trip",
        open: round_trip,
    },
    Line {
        name: "event-storm-1",
        open: || storm(1),
    },
    Line {
        name: "event-storm-64",
        open: || storm(64),
    },
    Line {
        name: "event-storm-4096",
        open: || storm(4096),
    },
];

/// An event that takes longer is lost.
const LIMIT: Duration = Duration::from_secs(30);

const ROUND_TRIPS: u32 = 2000;

/// Number of events in a sample of a storm, for any number of ports.
const EVENTS: usize = 8192;

/// Returns the port operations in use, which must be those that the harness has asked for.
pub fn driver() -> io::Result<&'static str> {
    let asked = Ops::asked()?;
    let log = Command::new("dmesg").output()?;
    let file = fs::read_to_string(queues_file::PATH).ok();
    asked
        .check(&String::from_utf8_lossy(&log.stdout), file.as_deref())
        .map_err(io::Error::other)?;
    match asked {
        Ops::Rust => Ok("Rust"),
        Ops::C => Ok("C"),
        Ops::TwoLevel => Err(io::Error::other("the 2-level ABI is not measured")),
    }
}

/// Measures an event from one thread to another and back.
fn round_trip() -> io::Result<Measure> {
    let ports = Ports::open(1)?;
    Ok(Box::new(move || {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let answering = scope.spawn(|| {
                let mut taken = Vec::new();
                loop {
                    receive(&ports.senders, 1, &mut taken)?;
                    if ended.load(Ordering::SeqCst) {
                        return Ok::<(), io::Error>(());
                    }
                    ports.senders.notify(ports.sent_from[0])?;
                }
            });
            let ask = || -> io::Result<f64> {
                let mut taken = Vec::new();
                let begin = Instant::now();
                for _ in 0..ROUND_TRIPS {
                    ports.receivers.notify(ports.received_at[0])?;
                    receive(&ports.receivers, 1, &mut taken)?;
                }
                Ok(begin.elapsed().as_nanos() as f64 / f64::from(ROUND_TRIPS))
            };
            let time = ask();
            ended.store(true, Ordering::SeqCst);
            ports.receivers.notify(ports.received_at[0])?;
            answering.join().expect("answering does not panic")?;
            time
        })
    }))
}

/// Measures a storm: an event is sent on each of `count` ports, and then all are received.
fn storm(count: usize) -> io::Result<Measure> {
    let mut ports = Ports::open(count)?;
    Random::new(1).shuffle(&mut ports.sent_from);
    let mut taken = Vec::new();
    Ok(Box::new(move || {
        let rounds = EVENTS / count;
        let begin = Instant::now();
        for _ in 0..rounds {
            for port in &ports.sent_from {
                ports.senders.notify(*port)?;
            }
            receive(&ports.receivers, count, &mut taken)?;
        }
        Ok(begin.elapsed().as_nanos() as f64 / (rounds * count) as f64)
    }))
}

/// Ports that are connected in pairs, between two files.
struct Ports {
    receivers: EventChannels,
    senders: EventChannels,
    received_at: Vec<u32>,
    sent_from: Vec<u32>,
}

impl Ports {
    fn open(count: usize) -> io::Result<Self> {
        let receivers = EventChannels::open()?;
        let senders = EventChannels::open()?;
        let mut received_at = Vec::new();
        let mut sent_from = Vec::new();
        for _ in 0..count {
            let port = receivers.offer(DOM0)?;
            sent_from.push(senders.connect(DOM0, port)?);
            received_at.push(port);
        }
        // A port has an event as soon as it is connected.
        receive(&senders, count, &mut Vec::new())?;
        Ok(Self {
            receivers,
            senders,
            received_at,
            sent_from,
        })
    }
}

/// Receives exactly `count` events; `taken` is a buffer that is reused.
fn receive(channels: &EventChannels, count: usize, taken: &mut Vec<u32>) -> io::Result<()> {
    let mut received = 0;
    while received < count {
        channels.take(taken, LIMIT)?;
        if taken.is_empty() {
            return Err(io::Error::other(format!("{received} of {count} events")));
        }
        channels.unmask(taken)?;
        received += taken.len();
    }
    match received == count {
        true => Ok(()),
        false => Err(io::Error::other(format!("{received} events, not {count}"))),
    }
}
