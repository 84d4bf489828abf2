// SPDX-License-Identifier: GPL-2.0

//! Event channels of a dom0 that suspends the machine to RAM.
//!
//! Dom0's kernel masks the ports of its programs and takes all processors but the first away before
//! the hypervisor suspends the machine. The domU runs until then, and goes on before the kernel has
//! unmasked the ports: its events of that time are pending on masked ports.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clients::agent::Agent;
use clients::suite;
use clients::suite::Rule;
use clients::suspend;
use clients::suspend::Suspension;
use events::astray;
use events::board::End;
use events::board::Plan;
use events::hotplug;
use events::link::Link;
use events::options::Options;
use events::tally;
use guest_test::ktap::Verdict;
use suites::remote::RemoteGranter;

/// Pause of the domU after each event: with hundreds of ports it still sends when the machine has
/// been woken up.
const PAUSE: Duration = Duration::from_millis(2);

/// Number of lanes: four for each priority.
const FEW: usize = 64;

const A_WHILE: Duration = Duration::from_secs(2);

const SEED: u32 = 4;

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("event-suspended: {usage}");
            return ExitCode::FAILURE;
        }
    };
    let ports = options.ports;
    let rules = [
        Rule::new(
            format!(
                "each event that a domU sends on {ports} ports of all 16 priorities while the \
                 machine is suspended to RAM arrives once"
            ),
            move || sent_meanwhile(ports),
        ),
        Rule::new(
            "both domains send events until the machine is suspended to RAM, and go on",
            storm,
        ),
        Rule::new(astray::NONE, || {
            astray::none_in_both_domains(&Agent::of(RemoteGranter::domid_of_domu()?)?)
        }),
    ];
    suite::run_those("event-suspended", &rules, &options.wanted)
}

fn sent_meanwhile(ports: usize) -> Verdict {
    let link = Link::to_domu(ports)?;
    link.prioritize()?;
    link.walk(SEED)?;
    link.check(tally::Rule::Exact)?;

    let sent = || tally::sums(&link.board(), End::Domu).notified;
    let before = sent();
    let suspension = Suspension::prepare()?;
    let [begin, end] = link.trickle_while(SEED, PAUSE, || {
        let begin = sent();
        suspension.enter()?;
        Ok([begin, sent()].map(|count| count - before))
    })?;
    suspension.check()?;
    println!(
        "# {begin} events sent before dom0 began to suspend the machine, {end} when it was back"
    );
    assert!(end > begin, "the domU has sent nothing meanwhile");
    assert!(end < ports as u64, "the domU was done before dom0 was back");
    link.check(tally::Rule::Exact)?;
    link.walk(SEED + 1)?;
    link.check(tally::Rule::Exact)?;
    Ok(())
}

fn storm() -> Verdict {
    let plan = Plan {
        seed: SEED,
        longest_burst: 4,
        threads: false,
    };
    let link = Link::to_domu(FEW)?;
    link.prioritize()?;
    link.storm_while(plan, suspend::to_ram)?;
    link.check(tally::Rule::Coalescing)?;
    link.storm_for(plan, A_WHILE)?;
    link.check(tally::Rule::Coalescing)?;
    // A processor that was taken away takes events again.
    link.storm_while(plan, || hotplug::cycle(1))?;
    link.check(tally::Rule::Coalescing)?;
    drop(link);

    let link = Link::to_domu(FEW)?;
    link.walk(SEED)?;
    link.check(tally::Rule::Exact)?;
    Ok(())
}
