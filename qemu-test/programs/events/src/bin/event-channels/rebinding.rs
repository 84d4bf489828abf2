// SPDX-License-Identifier: GPL-2.0

//! A port that is closed and bound again while the other end sends events. The number of the port
//! is used again at once, and with it its word in the event array, which may still be in a queue.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use clients::limit::PATIENCE;
use events::link::Link;
use events::tally;
use guest_test::ktap::Verdict;
use xen_grants::event_channel::EventChannels;
use xen_grants::DOM0;

use crate::plan;
use crate::FEW;

/// Events that must arrive each time. The first one may be that of the hypervisor, which sends one
/// to each port that is bound.
const EVENTS: u32 = 2;

/// One in so many times, there are also events on the lanes to the domU. They take most of the
/// processors' time.
const SHARE_WITH_LANES: u32 = 20;

/// Dom0 closes its end of a channel to itself, and binds it again, `count` times. Meanwhile one
/// thread sends events to it without a pause. At first there are also events on the lanes to the
/// domU, none of which is lost.
pub fn rebind(count: u32) -> Verdict {
    let with_lanes = count / SHARE_WITH_LANES;
    let link = Link::to_domu(FEW)?;
    link.storm_while(plan(4, false), || under_events(with_lanes))?;
    link.check(tally::Rule::Coalescing)?;
    under_events(count - with_lanes)?;
    Ok(())
}

fn under_events(count: u32) -> io::Result<()> {
    let sender = EventChannels::open()?;
    let offered = sender.offer(DOM0)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            // Events to an end that is closed go nowhere, which is no error.
            while !done.load(Ordering::SeqCst) {
                sender.notify(offered)?;
            }
            Ok::<(), io::Error>(())
        });
        let bound = (0..count).try_for_each(|time| {
            bind_and_close(offered)
                .map_err(|error| io::Error::other(format!("time {time}: {error}")))
        });
        done.store(true, Ordering::SeqCst);
        sending.join().expect("sending does not panic").and(bound)
    })
}

/// Connects to port `offered` of this domain, waits for [`EVENTS`] events and closes the port. Each
/// time has a device of its own, which has no events of the times before.
fn bind_and_close(offered: u32) -> io::Result<()> {
    let receiver = EventChannels::open()?;
    let port = receiver.connect(DOM0, offered)?;
    let mut received = 0;
    while received < EVENTS {
        match receiver.wait(PATIENCE)? {
            Some(from) => {
                assert_eq!(from, port);
                received += 1;
            }
            None => {
                let message = format!("port {port}: {received} events, and no more comes");
                return Err(io::Error::other(message));
            }
        }
    }
    Ok(receiver.close(port)?)
}
