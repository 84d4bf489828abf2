// SPDX-License-Identifier: GPL-2.0

//! Processors that go and come back while both domains send events.

use std::io;

use clients::agent::Agent;
use clients::command::succeed;
use events::board::End;
use events::board::Field;
use events::hotplug;
use events::link::Link;
use events::ops::Ops;
use events::queues_file::QueuesFile;
use events::tally;
use guest_test::ktap::Verdict;

use crate::plan;
use crate::rust_only;
use crate::FEW;
use crate::SEED;

/// Processors of dom0 go while events come to them.
pub fn go_in_dom0(count: u32) -> Verdict {
    let link = Link::to_domu(FEW)?;
    go_under_events(&link, count, QueuesFile::of_this_domain, || {
        hotplug::cycle(count)
    })?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

/// Processors of the domU go while events come to them.
pub fn go_in_domu(count: u32) -> Verdict {
    let link = Link::to_domu(FEW)?;
    let domid = link.domid();
    let file = || QueuesFile::of_domain(link.agent());
    // The wait for an answer of the agent is limited.
    const AT_ONCE: u32 = 10;
    go_under_events(&link, count, file, || {
        let agent = Agent::of(domid)?;
        let mut events = 0;
        for done in (0..count).step_by(AT_ONCE as usize) {
            let now = AT_ONCE.min(count - done);
            let output = agent.run(&format!("event-cpus cycle {now}"))?;
            let more: u64 = output.trim().parse().map_err(io::Error::other)?;
            events += more;
        }
        Ok(events)
    })?;
    link.check(tally::Rule::Coalescing)?;
    Ok(())
}

/// Sends events from both sides while processors go and come back by `cycle`, which returns the
/// number of events that came to them: to each at least one before it goes. Prints that number, and
/// the number of events that were found in the queues of processors that had gone, if `file` shows
/// it.
fn go_under_events(
    link: &Link,
    count: u32,
    file: impl Fn() -> io::Result<QueuesFile>,
    cycle: impl FnOnce() -> io::Result<u64> + Send,
) -> io::Result<()> {
    assert!(count > 0, "no processor is to go");
    let tells = Ops::asked()? == Ops::Rust;
    let drained = || -> io::Result<_> {
        let file = tells.then(&file).transpose()?;
        Ok(file.map(|file| file.drained()))
    };
    let before = drained()?;
    let events = link.storm_while(plan(4, false), cycle)?;
    println!("# {events} events came to processors that went {count} times");
    assert!(events >= count.into(), "{events} events, {count} times");
    if let Some((now, before)) = drained()?.zip(before) {
        println!("# drained {} events", now - before);
    }
    Ok(())
}

/// Processors of the domain at one end. All are given back when this is dropped.
struct Processors<'a> {
    end: End,
    agent: &'a Agent,
}

impl Processors<'_> {
    /// Runs `event-cpus` in the domain.
    fn run(&self, arguments: &str) -> io::Result<()> {
        let command = format!("event-cpus {arguments}");
        match self.end {
            End::Dom0 => succeed("sh", &["-c", &command]),
            End::Domu => self.agent.run(&command),
        }
        .map(drop)
    }

    /// Number of events that the domain's kernel has found in queues of processors that had gone.
    fn drained(&self) -> io::Result<u64> {
        let file = match self.end {
            End::Dom0 => QueuesFile::of_this_domain(),
            End::Domu => QueuesFile::of_domain(self.agent),
        };
        Ok(file?.drained())
    }
}

impl Drop for Processors<'_> {
    fn drop(&mut self) {
        // After a failure that is told already.
        let _ = self.run("return");
    }
}

/// Puts events into the queues of processors of `end` that have gone, and has the kernel look there
/// again: it finds each of them, and has it delivered once.
///
/// A processor that goes leaves events behind only if they come in the short time in which its
/// interrupts are disabled, and a PV domain enables them once more afterwards, so no test can rely
/// on that. Here the ports are bound behind the kernel's back to processors that have gone, and the
/// kernel drains the queues of one that fails to come back as those of one that goes.
pub fn drain(end: End) -> Verdict {
    rust_only()?;
    let link = Link::to_domu(FEW)?;
    link.walk(SEED)?;
    let board = link.board();
    let ports: Vec<String> = (0..FEW)
        .map(|lane| board.get(end, lane, Field::Port).to_string())
        .collect();

    let processors = Processors {
        end,
        agent: link.agent(),
    };
    processors.run(&format!("strand {}", ports.join(" ")))?;
    let before = processors.drained()?;
    link.send_from(end.other(), SEED)?;
    processors.run("fail")?;
    link.settle()?;
    let drained = processors.drained()? - before;
    assert_eq!(drained, FEW as u64, "events that were drained");
    link.check(tally::Rule::Exact)?;
    processors.run("return")?;
    Ok(())
}
