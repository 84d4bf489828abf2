// SPDX-License-Identifier: GPL-2.0

//! The round trip of an event between dom0 and a domU while another domU does nothing, makes
//! hypercalls from which no event comes, or misuses its event channels. Program `event-peer` runs
//! in both.

use std::io;
use std::time::Duration;

use ::events::board::Misuse;
use ::events::link::Link;
use ::events::round_trip;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan;

/// Number of lanes of the domU whose events are measured.
const LANES: usize = 8;

/// Number of ports that the attacker connects, of the 1,023 that xl lets a domain have.
const PORTS: usize = 960;

/// Processors of the attacker.
const PROCESSORS: u32 = 2;

/// Number of round trips of which the 99th percentile and the maximum are taken.
const ROUND_TRIPS: usize = 1000;

const SEED: u32 = 4;

/// Work of the other domU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// None.
    Idle,
    /// It keeps its processors busy with hypercalls that send events which go nowhere.
    Busy,
    /// It misuses its event channels in all ways.
    Attack,
}

impl Other {
    /// All, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Busy, Self::Attack];

    /// Its part of the names of lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Attack => "attack",
        }
    }
}

/// Median, 99th percentile and maximum of the times of round trips, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Names of the values for lines, and the values.
    pub values: [(&'static str, u128); 3],
}

impl Times {
    fn of(mut times: Vec<u128>) -> Self {
        times.sort_unstable();
        let last = times.len() - 1;
        Self {
            values: [
                ("median", times[last / 2]),
                ("99", times[last * 99 / 100]),
                ("most", times[last]),
            ],
        }
    }
}

/// Both domUs.
pub struct Domains {
    measured: Link,
    other: Link,
    /// Destroyed with this.
    _attacker: Domain,
}

impl Domains {
    /// Starts the second domU and connects with both.
    pub fn start() -> io::Result<Self> {
        let attacker = Plan::with_agent(Kind::Pv)
            .vcpus(PROCESSORS)
            .parameter("xen_privcmd.unrestricted=1")
            .create()?;
        Ok(Self {
            measured: Link::to_domu(LANES)?,
            other: Link::to_attacker(attacker.domid(), PORTS)?,
            _attacker: attacker,
        })
    }

    /// Measures while the other domU does as `other` says.
    pub fn measure(&mut self, other: Other) -> io::Result<Times> {
        let times = match other {
            Other::Idle => round_trip::measure(&self.measured, ROUND_TRIPS)?,
            Other::Busy | Other::Attack => self.measure_under(other == Other::Busy)?,
        };
        Ok(Times::of(
            times.into_iter().map(|time| time.as_nanos()).collect(),
        ))
    }

    fn measure_under(&mut self, harmless: bool) -> io::Result<Vec<Duration>> {
        let misuse = Misuse {
            seed: SEED,
            victim: self.measured.domid(),
            harmless,
        };
        let mut driver = self.other.flooded()?;
        let (served, times) =
            driver.serve_while(misuse, |_| round_trip::measure(&self.measured, ROUND_TRIPS))?;
        driver.finish()?;
        println!("note {served:?}");
        if !harmless && (served.events == 0 || served.bound_again == 0) {
            return Err(io::Error::other(format!("no attack: {served:?}")));
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_ordered() {
        let times = Times::of((1..=201).rev().collect());
        assert_eq!(times.values, [("median", 101), ("99", 199), ("most", 201)]);
        assert_eq!(Times::of(vec![7]).values.map(|(_, time)| time), [7, 7, 7]);
    }
}
