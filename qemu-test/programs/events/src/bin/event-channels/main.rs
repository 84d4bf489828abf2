// SPDX-License-Identifier: GPL-2.0

//! Rules of the FIFO ABI beyond many ports: priorities and their order, events that race with
//! unmasking, ports that are closed and bound again, processors that go and come back, and the
//! hypervisor's view of the queues.

#![forbid(unsafe_code)]

mod pause;
mod processors;
mod queues;
mod rebinding;

use std::process::ExitCode;
use std::time::Duration;

use clients::agent::Agent;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use events::astray;
use events::board::End;
use events::board::Field;
use events::board::Plan;
use events::board::PRIORITIES;
use events::hotplug;
use events::link::Link;
use events::ops::Ops;
use events::options::Options;
use events::tally;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use suites::remote::RemoteGranter;
use suites::wait::until;

/// Number of lanes: four for each priority.
const FEW: usize = 64;

/// Duration of a part of a rule in which more time finds more.
const A_WHILE: Duration = Duration::from_secs(5);

/// Number of times that a port is bound again for each time that a processor goes: 10,000 for all
/// of the latter.
const REBOUND_PER_CYCLE: u32 = 50;

const SEED: u32 = 2;

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("event-channels: {usage}");
            return ExitCode::FAILURE;
        }
    };
    // Most of them in dom0, whose processors take more with them.
    let in_domu = options.cycles / 4;
    let in_dom0 = options.cycles - in_domu;
    let mut rules = vec![
        Rule::new(
            "the count notices an event that is lost, and one that nobody sent",
            count,
        ),
        Rule::new("events of all 16 priorities, from both sides", priorities),
        Rule::new(
            "a domU that was paused takes its events by priority, then as they came",
            pause::order,
        ),
        Rule::new(
            "debugfs counts what a domU that was paused has taken, by priority",
            pause::count,
        ),
        Rule::new(
            "unmasking in one thread while another sends, in both domains",
            unmask_race,
        ),
    ];
    // The rules come in parts for another type of domU, which has no end of this port.
    if options.parts == 1 {
        let times = REBOUND_PER_CYCLE * options.cycles;
        let name = format!("a port is closed and bound again {times} times under events");
        rules.push(Rule::new(name, move || rebinding::rebind(times)));
    }
    rules.extend(options.all_parts().map(|part| {
        let times = part.share(in_dom0);
        let name = format!("processors of dom0 go and come back {times} times under events{part}");
        Rule::new(name, move || processors::go_in_dom0(times))
            .expect_failure(hotplug::loss_in_dom0())
    }));
    rules.extend(options.all_parts().map(|part| {
        let times = part.share(in_domu);
        let name =
            format!("processors of the domU go and come back {times} times under events{part}");
        Rule::new(name, move || processors::go_in_domu(times))
    }));
    for (end, domain) in [(End::Dom0, "dom0"), (End::Domu, "the domU")] {
        let name =
            format!("events in the queues of processors of {domain} that have gone are drained");
        rules.push(Rule::new(name, move || processors::drain(end)));
    }
    rules.push(Rule::new(
        "Xen's debug key e and debugfs agree on the queues of both domains",
        queues::agree,
    ));
    rules.push(Rule::new(astray::NONE, none_astray));
    suite::run_those("event-channels", &rules, &options.wanted)
}

fn plan(longest_burst: u32, threads: bool) -> Plan {
    Plan {
        seed: SEED,
        longest_burst,
        threads,
    }
}

fn none_astray() -> Verdict {
    astray::none_in_both_domains(&Agent::of(RemoteGranter::domid_of_domu()?)?)
}

fn fifo_only() -> Verdict {
    match Ops::asked()? {
        Ops::TwoLevel => Err(Stop::Skip("the 2-level ABI has no queues".into())),
        Ops::Rust | Ops::C => Ok(()),
    }
}

fn rust_only() -> Verdict {
    match Ops::asked()? {
        Ops::Rust => Ok(()),
        Ops::C | Ops::TwoLevel => Err(Stop::Skip(
            "Linux's own port operations tell nothing of queues in debugfs".into(),
        )),
    }
}

/// If the count noticed nothing, all other rules would hold for nothing.
fn count() -> Verdict {
    let lane = FEW / 2;
    for (lose, complaint) in [(true, "an event was lost"), (false, "nobody sent")] {
        let link = Link::to_domu(FEW)?;
        link.walk(SEED)?;
        link.check(tally::Rule::Exact)?;
        let board = link.board();
        let sender = link.side().sender(SEED, 1);
        if lose {
            sender.lose_one(lane);
        } else {
            let delivered = || board.get(End::Domu, lane, Field::Delivered);
            let before = delivered();
            sender.invent_one(lane)?;
            until(PATIENCE, || Ok((delivered() > before).then_some(())))?;
        }
        for rule in [tally::Rule::Exact, tally::Rule::Coalescing] {
            let message = tally::check(&board, End::Dom0, rule).unwrap_err();
            assert!(message.contains(complaint), "{message}");
            assert!(message.contains(&format!("lane {lane},")), "{message}");
        }
    }
    Ok(())
}

fn priorities() -> Verdict {
    let link = Link::to_domu(FEW)?;
    link.prioritize()?;
    for seed in 0..PRIORITIES {
        link.walk(seed)?;
    }
    link.check(tally::Rule::Exact)?;
    link.storm_for(plan(4, false), A_WHILE)?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

fn unmask_race() -> Verdict {
    for lanes in [1, 8] {
        let link = Link::to_domu(lanes)?;
        for longest_burst in [1, 2, 8] {
            link.storm_for(plan(longest_burst, true), A_WHILE / 2)?;
            let rule = match longest_burst {
                1 => tally::Rule::Exact,
                _ => tally::Rule::Coalescing,
            };
            link.check(rule)?;
        }
    }
    Ok(())
}
