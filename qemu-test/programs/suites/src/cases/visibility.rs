// SPDX-License-Identifier: GPL-2.0

//! Regions of a file in fdinfo, and the driver's trace events.

use std::process;

use guest_test::errno::EINVAL;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::gntdev::notify::SEND_EVENT;
use guest_test::gntdev::Gntdev;
use guest_test::inspect::Inspect;
use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::platform::Driver;
use guest_test::tracing::Event;
use guest_test::tracing::Trace;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::granter::BEYOND_TABLE;
use crate::random::Random;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

const NO_FDINFO: &str = "shows nothing in fdinfo";

const SYSTEM: &str = "xen_gntdev";

rules![
    #[rule("fdinfo of a new file lists no region")]
    fn no_regions(_: &mut World) -> Verdict {
        assert!(regions(&Gntdev::open()?)?.is_empty());
        Ok(())
    },

    #[rule("fdinfo lists regions in the order of their index")]
    #[expect_c_differs(NO_FDINFO)]
    fn in_order(world: &mut World) -> Verdict {
        let share = world.share(4)?;
        let device = Gntdev::open()?;
        for count in [2, 1, 4] {
            device.insert(&share.grants[..count])?;
        }
        let expected = [
            "0x0 count 2 unmapped",
            "0x2000 count 1 unmapped",
            "0x3000 count 4 unmapped",
        ];
        assert_eq!(regions(&device)?, expected);

        device.remove(0x2000, 1)?;
        assert_eq!(regions(&device)?, [expected[0], expected[2]]);
        device.insert(&share.grants[..1])?;
        assert_eq!(regions(&device)?, expected);
        Ok(())
    },

    #[rule("fdinfo tells the state of a region")]
    #[expect_c_differs(NO_FDINFO)]
    fn states(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let bad = GrantRef {
            domid: world.granter.domid(),
            reference: BEYOND_TABLE,
        };
        let device = Gntdev::open()?;
        let (reading, writing) = (device.insert(&share.grants)?, device.insert(&share.grants)?);
        let failing = device.insert(&[bad])?;
        device.insert(&share.grants)?;
        let _readable = device.map(reading, 1, Protection::Read)?;
        let writable = device.map(writing, 1, Protection::ReadWrite)?;
        let result = device.map(failing, 1, Protection::ReadWrite);
        assert_error(result, EINVAL, "a bad reference");
        let expected = [
            "0x0 count 1 read-only",
            "0x1000 count 1 read-write",
            "0x2000 count 1 failed",
            "0x3000 count 1 unmapped",
        ];
        assert_eq!(regions(&device)?, expected);
        // A region that was mapped once cannot be mapped again, so its state stays.
        writable.unmap()?;
        assert_eq!(regions(&device)?, expected);
        Ok(())
    },

    #[rule("fdinfo tells what is done at the unmapping")]
    #[expect_c_differs(NO_FDINFO)]
    fn notifications(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let channel = Loopback::open(DOM0)?;
        let port = channel.port();
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        device.set_notify(index + 0x1008, CLEAR_BYTE | SEND_EVENT, port)?;
        let line = format!("0x0 count 2 unmapped clear-byte 0x1008 send-event {port}");
        assert_eq!(regions(&device)?, [line]);
        device.set_notify(index, SEND_EVENT, port)?;
        let line = format!("0x0 count 2 unmapped send-event {port}");
        assert_eq!(regions(&device)?, [line]);
        device.set_notify(index, CLEAR_BYTE, 0)?;
        assert_eq!(regions(&device)?, ["0x0 count 2 unmapped clear-byte 0x0"]);
        device.set_notify(index, 0, 0)?;
        assert_eq!(regions(&device)?, ["0x0 count 2 unmapped"]);
        Ok(())
    },

    /// The text is longer than one buffer of a read.
    #[rule("fdinfo of 2000 regions is complete")]
    #[expect_c_differs(NO_FDINFO)]
    fn many_regions(world: &mut World) -> Verdict {
        const REGIONS: usize = 2000;
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        for _ in 0..REGIONS {
            device.insert(&share.grants)?;
        }
        let mut removed: Vec<usize> = (0..REGIONS).collect();
        Random::new(7).shuffle(&mut removed);
        removed.truncate(REGIONS / 3);
        for number in &removed {
            device.remove((number * PAGE_SIZE) as u64, 1)?;
        }
        let expected: Vec<String> = (0..REGIONS)
            .filter(|number| !removed.contains(number))
            .map(|number| format!("{:#x} count 1 unmapped", number * PAGE_SIZE))
            .collect();
        assert!(
            regions(&device)? == expected,
            "the list is not that of the regions"
        );
        Ok(())
    },

    #[rule("mapping and unmapping are traced")]
    fn map_and_unmap(world: &mut World) -> Verdict {
        let events = traced(world, |world| {
            let share = world.share(3)?;
            let device = Gntdev::open()?;
            device.insert(&share.grants[..1])?;
            let index = device.insert(&share.grants)?;
            let mapping = device.map(index, 3, Protection::ReadWrite)?;
            mapping.unmap()?;
            device.remove(index, 3)?;
            let mapping = device.map(0, 1, Protection::Read)?;
            mapping.unmap()?;
            Ok(())
        })?;
        assert_eq!(
            named(&events, "xen_gntdev_map"),
            [
                "index=0x1000 count=3 writable=1 error=0",
                "index=0x0 count=1 writable=0 error=0",
            ]
        );
        // The last region's file is closed within the trace.
        let kernel = ["count=3 refused=0 at=kernel", "count=1 refused=0 at=kernel"];
        let process = [
            "count=3 refused=0 at=process",
            "count=1 refused=0 at=process",
        ];
        let expected = if world.is_paravirtual() {
            vec![process[0], kernel[0], process[1], kernel[1]]
        } else {
            kernel.to_vec()
        };
        assert_eq!(named(&events, "xen_gntdev_unmap"), expected);

        // GNTTABOP_map_grant_ref is 0, GNTTABOP_unmap_grant_ref is 1.
        for (command, count) in [("0", "3"), ("0", "1"), ("1", "3"), ("1", "1")] {
            let found = events.iter().any(|event| {
                event.name == "xen_gntdev_hypercall"
                    && event.field("command") == Some(command)
                    && event.field("count") == Some(count)
            });
            assert!(
                found,
                "no hypercall {command} with {count} operations: {events:?}"
            );
        }
        some_time_passes(world)
    },

    #[rule("a failed mapping is traced with its error")]
    fn failed_map(world: &mut World) -> Verdict {
        let events = traced(world, |world| {
            let bad = GrantRef {
                domid: world.granter.domid(),
                reference: BEYOND_TABLE,
            };
            let device = Gntdev::open()?;
            let index = device.insert(&[bad])?;
            for _ in 0..2 {
                let result = device.map(index, 1, Protection::ReadWrite);
                assert_error(result, EINVAL, "a bad reference");
            }
            Ok(())
        })?;
        let expected = format!("index=0x0 count=1 writable=1 error=-{EINVAL}");
        assert_eq!(
            named(&events, "xen_gntdev_map"),
            [expected.as_str(), expected.as_str()]
        );
        assert!(named(&events, "xen_gntdev_unmap").is_empty());
        Ok(())
    },

    /// A reference in a pipe defers the unmapping.
    #[rule("an unmapping that waits is traced")]
    fn deferred(world: &mut World) -> Verdict {
        let events = traced(world, |world| {
            let held = world.mapped(1, 180)?;
            let mut pipe = Pipe::new()?;
            assert_eq!(pipe.take_pages(&held.mapping)?, PAGE_SIZE);
            held.mapping.unmap()?;
            held.device.remove(held.index, 1)?;
            pipe.read(PAGE_SIZE)?;
            assert_released(&held.share.grants);
            Ok(())
        })?;
        assert_eq!(named(&events, "xen_gntdev_defer"), ["count=1"]);
        Ok(())
    },

    #[rule("grant copies are traced by batch")]
    fn copies(world: &mut World) -> Verdict {
        let events = traced(world, |world| {
            let share = world.share(1)?;
            let local = Mapping::anonymous(2, Protection::ReadWrite)?;
            let device = Gntdev::open()?;
            let segment = |at, length| Segment {
                source: End::Grant(share.grants[0], 0),
                destination: End::Local(&local, at),
                length,
            };
            device.copy(&[segment(0, 64), segment(64, 64)])?;
            device.copy(&[segment(4000, 200)])?;
            device.copy(&vec![segment(0, 64); 1000])?;
            Ok(())
        })?;
        let all: Vec<&Event> = events
            .iter()
            .filter(|event| event.name == "xen_gntdev_copy")
            .collect();
        assert_eq!(all[0].fields, "segments=2 operations=2 pages=1");
        assert_eq!(all[1].fields, "segments=1 operations=2 pages=2");
        let sum: usize = all[2..]
            .iter()
            .map(|event| {
                let text = event.field("segments").expect("the number of segments");
                text.parse::<usize>().expect("a number")
            })
            .sum();
        assert_eq!(sum, 1000);

        // GNTTABOP_copy is 5.
        let hypercalls = events
            .iter()
            .filter(|event| {
                event.name == "xen_gntdev_hypercall" && event.field("command") == Some("5")
            })
            .count();
        assert_eq!(hypercalls, all.len());
        Ok(())
    },

    #[rule("notifications are traced")]
    fn notify(world: &mut World) -> Verdict {
        let channel = Loopback::open(DOM0)?;
        let events = traced(world, |world| {
            let held = world.mapped(2, 181)?;
            let index = held.index + 0x1010;
            held.device
                .set_notify(index, CLEAR_BYTE | SEND_EVENT, channel.port())?;
            held.mapping.unmap()?;
            held.device.remove(held.index, 2)?;
            Ok(())
        })?;
        assert_eq!(named(&events, "xen_gntdev_notify_byte"), ["offset=0x1010"]);
        let expected = format!("port={}", channel.port());
        assert_eq!(named(&events, "xen_gntdev_notify_event"), [expected]);
        Ok(())
    }
];

/// Lines of fdinfo about regions, without their prefix.
fn regions(device: &Gntdev) -> Result<Vec<String>, std::io::Error> {
    let info = device.fdinfo()?;
    Ok(info
        .lines()
        .filter_map(|line| line.strip_prefix("region:\t"))
        .map(String::from)
        .collect())
}

/// Records events while `body` runs, and returns those of this process.
fn traced(
    world: &mut World,
    body: impl FnOnce(&mut World) -> Verdict,
) -> Result<Vec<Event>, guest_test::ktap::Stop> {
    if world.driver == Driver::C {
        skip_case("the C driver has no trace events")?;
    }
    assert!(Trace::is_available(SYSTEM), "no trace events of {SYSTEM}");
    let trace = Trace::begin(SYSTEM, &[], 1024)?;
    body(world)?;
    let mut events = trace.events()?;
    events.retain(|event| event.thread == process::id());
    Ok(events)
}

/// The texts of the events called `name`.
fn named<'a>(events: &'a [Event], name: &str) -> Vec<&'a str> {
    events
        .iter()
        .filter(|event| event.name == name)
        .map(|event| event.fields.as_str())
        .collect()
}

/// Fails the case if all hypercalls take no time. The clocks of a PV guest's vCPUs differ, and the
/// kernel's clock stands still on one that is behind, so a single duration can be 0.
fn some_time_passes(world: &mut World) -> Verdict {
    for _ in 0..50 {
        let events = traced(world, |world| {
            let share = world.share(1)?;
            let device = Gntdev::open()?;
            let index = device.insert(&share.grants)?;
            device.map(index, 1, Protection::Read)?.unmap()?;
            Ok(())
        })?;
        if events.iter().filter_map(nanoseconds).sum::<u64>() > 0 {
            return Ok(());
        }
    }
    panic!("no hypercall took any time")
}

fn nanoseconds(event: &Event) -> Option<u64> {
    event.field("nanoseconds")?.parse().ok()
}
