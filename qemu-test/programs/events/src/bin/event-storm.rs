// SPDX-License-Identifier: GPL-2.0

//! Thousands of ports between dom0 and a domU, and events on them in random order from both sides.
//! Both domains have any number of processors and run any port operations.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use clients::agent::Agent;
use clients::command::succeed;
use clients::suite;
use clients::suite::Rule;
use events::astray;
use events::board::Plan;
use events::link::Link;
use events::ops::Ops;
use events::options::Options;
use events::queues_file;
use events::tally;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use suites::remote::RemoteGranter;
use xen_grants::event_channel::EventChannels;
use xen_grants::DOM0;

/// The most events in a burst.
const LONGEST_BURST: u32 = 8;

/// More ports than the 2-level ABI has.
const BEYOND_TWO_LEVEL: usize = 4096;

const SEED: u32 = 1;

fn main() -> ExitCode {
    let options = match Options::of_program() {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("event-storm: {usage}");
            return ExitCode::FAILURE;
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let Options {
        ports, duration, ..
    } = options;
    let part = duration / options.parts;
    // The exact count gets a third of the time: it shows more of fewer events.
    let alone = part / 3;
    // To open thousands of ports takes longer than a storm, so all storms share one connection.
    let connection = Link::to_domu(ports).map(Link::keep);
    let connection = Rc::new(connection.map_err(|error| error.to_string()));
    let link = move || match &*connection {
        Ok(connection) => Link::over(connection),
        Err(message) => Err(io::Error::other(message.clone())),
    };
    let mut rules = vec![Rule::new(
        format!("{processors} vCPUs: both kernels run the port operations asked for"),
        move || operations(processors),
    )];
    rules.extend(options.all_parts().map(|number| {
        let name = format!(
            "{processors} vCPUs, {ports} ports: events from both sides, each after the last was \
             seen, are counted exactly{number}"
        );
        let link = link.clone();
        Rule::new(name, move || one_by_one(&link()?, alone))
    }));
    rules.extend(options.all_parts().map(|number| {
        let name = format!(
            "{processors} vCPUs, {ports} ports: bursts from both sides lose and invent \
             nothing{number}"
        );
        let link = link.clone();
        Rule::new(name, move || bursts(&link()?, part - alone))
    }));
    rules.push(Rule::new(
        format!("{processors} vCPUs: the 2-level ABI ends before port {BEYOND_TWO_LEVEL}"),
        end_of_two_level,
    ));
    rules.push(Rule::new(
        format!("{processors} vCPUs: {}", astray::NONE),
        none_astray,
    ));
    let status = suite::run_those("event-storm", &rules, &options.wanted);
    if let Ok(link) = link() {
        link.close();
    }
    status
}

fn none_astray() -> Verdict {
    astray::none_in_both_domains(&Agent::of(RemoteGranter::domid_of_domu()?)?)
}

fn operations(processors: usize) -> Verdict {
    let asked = Ops::asked()?;
    let log = succeed("dmesg", &[])?;
    let file = fs::read_to_string(queues_file::PATH).ok();
    asked
        .check(&log, file.as_deref())
        .map_err(|error| Stop::Fail(format!("dom0: {error}")))?;

    let agent = Agent::of(RemoteGranter::domid_of_domu()?)?;
    // All of a domU's log is more than xenstore carries.
    let log = agent.run("dmesg | grep 'ABI'")?;
    // The lines of ports may be longer than an answer, and the first two tell of the operations.
    let file = format!("head -n 2 {}", queues_file::PATH);
    let file = agent.try_run(&file)?;
    let file = (file.status == 0).then_some(file.output);
    asked
        .check(&log, file.as_deref())
        .map_err(|error| Stop::Fail(format!("the domU: {error}")))?;
    let theirs = agent.run("nproc")?;
    assert_eq!(theirs.trim(), processors.to_string(), "the domU's vCPUs");
    Ok(())
}

fn plan(longest_burst: u32) -> Plan {
    println!("# seed {SEED}");
    Plan {
        seed: SEED,
        longest_burst,
        threads: false,
    }
}

fn one_by_one(link: &Link, duration: Duration) -> Verdict {
    link.walk(SEED)?;
    link.check(tally::Rule::Exact)?;
    link.storm_for(plan(1), duration)?;
    link.check(tally::Rule::Exact)?;
    Ok(())
}

fn bursts(link: &Link, duration: Duration) -> Verdict {
    link.storm_for(plan(LONGEST_BURST), duration)?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

fn end_of_two_level() -> Verdict {
    if Ops::asked()? != Ops::TwoLevel {
        return Err(Stop::Skip("the kernels run the FIFO ABI".into()));
    }
    let channels = EventChannels::open()?;
    let error = (0..BEYOND_TWO_LEVEL)
        .map(|_| channels.offer(DOM0))
        .find_map(Result::err);
    match error {
        Some(error) => println!("# the first port too many: {error}"),
        None => panic!("{BEYOND_TWO_LEVEL} further ports, and none was refused"),
    }
    Ok(())
}
