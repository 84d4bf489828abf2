// SPDX-License-Identifier: GPL-2.0

//! Calls of the event channels that fail at each point where they can, on a kernel that injects
//! failures. With the argument `new-processor` the second processor of dom0 must never have run.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use events::hotplug;
use events::queues_file::Processor;
use events::queues_file::QueuesFile;
use guest_test::errno::ENOMEM;
use guest_test::event_channel::StaticPorts;
use guest_test::fault_injection::FaultInjection;
use guest_test::hypercall::Hypercalls;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use suites::faults::print_row;
use suites::faults::walk_once;
use suites::wait::until;
use suites::wait::PATIENCE;
use suites::world::assert_error;
use xen_grants::event_channel::EventChannels;
use xen_grants::DOM0;

/// Part of the names of the kernel's functions for the events.
const CODE: &str = "11fifo_events";

/// Number of pages that the array grows by.
const PAGES: u32 = 2;

/// Number of event words in a page, and so of ports.
const PORTS_PER_PAGE: u32 = 1024;

/// Processor that has never run.
const NEW: u32 = 1;

fn main() -> ExitCode {
    let case = |name: &str, body: fn() -> Verdict| Case {
        name: name.into(),
        limit: Duration::from_secs(600),
        expected_failure: None,
        body: Box::new(body),
    };
    let mut cases = Vec::new();
    if env::args().nth(1).as_deref() == Some("new-processor") {
        cases.push(case(
            "a processor whose control block fails at each point comes up at the next attempt",
            new_processor,
        ));
    }
    cases.push(case(
        "a port without a page for its event is ENOMEM, and works at the next attempt",
        refused_growth,
    ));
    ktap::run("event-faults", cases, || Ok(()))
}

/// The memory of the control block, and the hypercall that hands it over.
fn new_processor() -> Verdict {
    let state = || -> Result<Processor, Stop> {
        let file = QueuesFile::of_this_domain()?;
        Ok(file.processors.get(&NEW).copied().unwrap_or_default())
    };
    assert_eq!(state()?, Processor::default(), "a processor that never ran");
    let injection = FaultInjection::of_kernel_code(CODE)?;
    let points = walk_once(|point| {
        let (result, injected) = injection.fail(point, || hotplug::bring_up(NEW))?;
        if injected {
            assert_error(result, ENOMEM, &format!("a processor, point {point}"));
            assert_eq!(state()?, Processor::default(), "after point {point}");
        } else {
            result?;
        }
        Ok(injected)
    })?;
    assert!(
        points >= 2,
        "{points} points: memory and the hypercall fail"
    );
    let now = state()?;
    assert!(now.online && now.block, "it is not there: {now:?}");
    let event = until(PATIENCE, || {
        let consumed = QueuesFile::of_this_domain()?.consumed_by(NEW);
        Ok((consumed > 0).then_some(()))
    })?;
    assert!(event.is_some(), "no event comes to it");
    print_row("CPU coming up", &[points], &format!("{points} ENOMEM"));
    Ok(())
}

/// No page is there, or the hypervisor refuses it. The kernel's device closes the port of a failed
/// attempt: the hypervisor hands out the lowest number that is free, which is then that port again.
///
/// A port that the device opens itself is closed twice, for which the kernel stops the program. So
/// the ports that need a new page are opened by the program.
fn refused_growth() -> Verdict {
    let pages = || QueuesFile::of_this_domain().map(|file| file.pages);
    let injection = FaultInjection::of_kernel_code(CODE)?;
    let hypercalls = Hypercalls::open()?;
    let domain = u16::try_from(DOM0).expect("a small number");
    let channels = EventChannels::open()?;
    let bound = StaticPorts::open()?;
    let (mut ports, mut all) = (Vec::new(), Vec::new());
    for _ in 0..PAGES {
        while (channels.offer(DOM0)? + 1) % PORTS_PER_PAGE != 0 {}
        let known = pages()?;
        let first = known * PORTS_PER_PAGE;
        let points = walk_once(|point| {
            let port = hypercalls.offer(domain)?;
            assert_eq!(port, first, "the port of point {point}");
            let (result, injected) = injection.fail(point, || bound.bind(port))?;
            if injected {
                assert_error(result, ENOMEM, &format!("a new page, point {point}"));
                assert_eq!(pages()?, known, "pages after point {point}");
            } else {
                result?;
            }
            Ok(injected)
        })?;
        assert_eq!(points, 2, "points of failure: the page and the hypercall");
        assert_eq!(pages()?, known + 1, "pages after the next attempt");
        let connected = channels.connect(DOM0, first)?;
        assert_eq!(channels.wait(PATIENCE)?, Some(connected), "the event");
        ports.push(first);
        all.push(points);
    }
    drop((bound, channels));
    for port in ports {
        hypercalls.close(port)?;
    }
    let results = format!("{} ENOMEM", all.iter().sum::<u32>());
    print_row("growth of the event array", &all, &results);
    Ok(())
}
