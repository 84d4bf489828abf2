// SPDX-License-Identifier: GPL-2.0

//! The work of a round: lanes, which do different work at the same time.

use std::io;
use std::sync::mpsc;
use std::thread;

use clients::command::succeed;
use clients::console;
use clients::domain;
use clients::domain::NAME;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

use crate::dying;
use crate::end::End;
use crate::peer;
use crate::peer::Peer;
use crate::program;
use crate::program::run_suite;
use crate::tally::Done;
use crate::tally::Kind;

/// Names of the domains that live for a round.
const FUZZED: &str = "fuzzed";
const GRANTER: &str = "granter";
const SENDER: &str = "sender";

/// Settings of all rounds.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name of the random choices.
    pub seed: u64,
    /// Name of the only lane that works; all do if it is empty.
    pub lane: String,
    /// The domU that lives all the time.
    pub witness: u32,
    /// The harness's word that it is enough: lanes begin nothing more.
    pub end: End,
}

impl Setting {
    fn lanes(&self) -> impl Iterator<Item = (&'static str, Work)> + '_ {
        LANES
            .into_iter()
            .filter(|(name, _)| self.lane.is_empty() || self.lane == *name)
    }
}

/// Work of a lane: the number of the round, and what was done so far.
type Work = fn(&Setting, u64, &mut Done) -> io::Result<()>;

const LANES: [(&str, Work); 5] = [
    ("fuzzer", fuzzer),
    ("grants", grants),
    ("events", events),
    ("streams", streams),
    ("domains", domains),
];

/// Rules of gntdev, of dma-bufs, and of an end of a stream that is killed: each round takes one of
/// each list in turn. They run beside others: none of them depends on what others have in use.
const GRANT_RULES: [&str; 2] = ["killed", "threads"];
const DMA_BUF_RULES: [&str; 4] = ["killed", "threads", "live at once", "survives"];
const KILLS: [&str; 4] = [
    "seen to go by the server in domU",
    "seen to go by the client in dom0",
    "seen to go by the server in dom0",
    "seen to go by the client in domU",
];
const KILLS_OF_A_RULE: u64 = 10;

/// Prepares dom0 for the domains of all rounds. Fails if there is no lane of that name.
pub fn prepare(setting: &Setting) -> io::Result<()> {
    if setting.lanes().next().is_none() {
        let names = LANES.map(|(name, _)| name);
        let message = format!("{:?} is none of {names:?}", setting.lane);
        return Err(io::Error::other(message));
    }
    peer::share_console(&[NAME, FUZZED, GRANTER, SENDER])
}

/// Runs all lanes of round `number`, and calls `ended` at the end of each: with its name, what it
/// has done, and why it failed.
pub fn round(setting: &Setting, number: u64, mut ended: impl FnMut(&str, Done, Option<String>)) {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for (name, work) in setting.lanes() {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut done = Done::default();
                let failure = work(setting, number, &mut done).err();
                let message = (name, done, failure.map(|error| error.to_string()));
                sender.send(message).expect("the round waits for all lanes");
            });
        }
        // A lane that panics has no sender any more, and the scope panics at its end.
        drop(sender);
        for (name, done, failure) in receiver {
            ended(name, done, failure);
        }
    });
}

/// Random operations, by one thread and by several.
fn fuzzer(setting: &Setting, round: u64, done: &mut Done) -> io::Result<()> {
    const OPERATIONS: &str = "2000";
    const CALLS: &str = "2000";
    let peer = Peer::with_granter(FUZZED)?;
    done.count(Kind::Domains, 1);
    // A thousand operations have a seed. A hundredth one would end the domU.
    let seed = (setting.seed + round) * 100 + 1;
    let mut fuzz = |kind, seed: u64, count, threads| -> io::Result<()> {
        let seed = seed.to_string();
        let words = ["--seed", &seed, "--operations", count, "--threads", threads];
        let output = program::run(peer.domid(), "gntdev-fuzz", &words)?;
        done.count(kind, program::operations(&output)?);
        Ok(())
    };
    fuzz(Kind::Operations, seed, OPERATIONS, "1")?;
    if !setting.end.is_here() {
        fuzz(Kind::ThreadCalls, seed + 50, CALLS, "4")?;
    }
    peer.end(round)
}

/// Rules of regions and of dma-bufs: threads, and processes that are killed at any moment.
fn grants(setting: &Setting, round: u64, done: &mut Done) -> io::Result<()> {
    let peer = Peer::with_granter(GRANTER)?;
    done.count(Kind::Domains, 1);
    let passed = run_suite(peer.domid(), "gntdev-domu", in_turn(&GRANT_RULES, round))?;
    done.count(Kind::GrantRules, passed);
    if !setting.end.is_here() {
        let passed = run_suite(peer.domid(), "dmabuf-domu", in_turn(&DMA_BUF_RULES, round))?;
        done.count(Kind::DmaBufRules, passed);
    }
    peer.end(round + 1)
}

/// Events of both sides on a thousand ports.
fn events(_: &Setting, round: u64, done: &mut Done) -> io::Result<()> {
    const STORM: [&str; 4] = ["--ports", "1000", "--seconds", "1"];
    let peer = Peer::start(SENDER)?;
    done.count(Kind::Domains, 1);
    let output = program::run(peer.domid(), "event-storm", &STORM)?;
    done.count(Kind::Events, program::events(&output)?);
    peer.end(round)
}

/// Streams between dom0 and the domU that lives all the time, and its console.
fn streams(setting: &Setting, round: u64, done: &mut Done) -> io::Result<()> {
    const MIB_OF_A_RULE: u64 = 32;
    let witness = setting.witness;
    console::assert_answers(witness, round as u32)?;
    let passed = run_suite(witness, "client-vchan", "16 MiB each way")?;
    done.count(Kind::StreamMib, MIB_OF_A_RULE * passed);
    if !setting.end.is_here() {
        let passed = run_suite(witness, "client-vchan", in_turn(&KILLS, round))?;
        done.count(Kind::KilledEnds, KILLS_OF_A_RULE * passed);
    }
    forget_streams(witness)?;
    forget_streams(DOM0)
}

/// Removes the nodes that the streams have in domain `domid`.
fn forget_streams(domid: u32) -> io::Result<()> {
    let store = Xenstore::open()?;
    let folder = format!("/local/domain/{domid}/data");
    for name in succeed("xenstore-list", &[&folder])?.lines() {
        if name.starts_with("vchan-") {
            store.remove(&format!("{folder}/{name}"))?;
        }
    }
    Ok(())
}

/// A domU with a disk, which dies amid I/O; domUs that are destroyed while they are mapped; in each
/// other round, one that is paused and one that is saved and restored.
fn domains(setting: &Setting, round: u64, done: &mut Done) -> io::Result<()> {
    // A round that failed may have left one.
    domain::remove_leftover();
    let witness = setting.witness;
    let seed = ((setting.seed + round) * 100) as u32;
    dying::disk_and_death(seed, round % 2 == 1)?;
    done.count(Kind::Domains, 1);
    // The domU writes and reads, and dom0 reads.
    done.count(Kind::DiskMib, 3 * dying::CHECKED as u64);
    done.count(Kind::DeathsUnderLoad, 1);
    if setting.end.is_here() {
        return Ok(());
    }

    // One of each kind in each rule.
    let passed = run_suite(witness, "client-death", "destroyed domain")?;
    done.count(Kind::Domains, 2 * passed);
    done.count(Kind::DeathsWhileMapped, 2 * passed);
    if round % 2 == 0 && !setting.end.is_here() {
        run_suite(witness, "client-saved", "PV domU")?;
        done.count(Kind::Domains, 3);
        done.count(Kind::Saved, 1);
    }
    Ok(())
}

fn in_turn<'a>(list: &[&'a str], round: u64) -> &'a str {
    list[round as usize % list.len()]
}
