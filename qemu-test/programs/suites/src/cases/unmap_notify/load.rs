// SPDX-License-Identifier: GPL-2.0

//! Threads, killed processes and many rounds.

use std::io;
use std::thread;
use std::time::Duration;

use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify::CLEAR_BYTE;
use guest_test::gntdev::notify::SEND_EVENT;
use guest_test::ktap::Verdict;
use guest_test::port_list::open_ports;
use guest_test::process::Child;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;

use super::held::end;
use super::held::ALIVE;
use super::held::SILENCE;
use crate::random::Random;
use crate::suite::rules;
use crate::wait::settle;
use crate::wait::PATIENCE;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("threads that set actions at once lose no channel")]
    fn threads(world: &mut World) -> Verdict {
        const THREADS: usize = 8;
        let held = world.mapped(1, 136)?;
        let ports_before = open_ports()?.len();
        let channels: Vec<Loopback> = (0..THREADS)
            .map(|_| Loopback::open(DOM0))
            .collect::<io::Result<_>>()?;
        thread::scope(|scope| {
            for channel in &channels {
                let port = channel.port();
                let held = &held;
                scope.spawn(move || {
                    for round in 0..100 {
                        let index = held.index + round;
                        held.device
                            .set_notify(index, CLEAR_BYTE | SEND_EVENT, port)
                            .expect("set");
                    }
                });
            }
        });
        end(held)?;
        // Any of the channels may have the event.
        let mut events = 0;
        let mut look = |limit| -> io::Result<usize> {
            for channel in &channels {
                events += usize::from(channel.wait(limit)?);
            }
            Ok(events)
        };
        let events = settle(PATIENCE, || look(Duration::ZERO), |events| *events > 0)?;
        assert_eq!(events, 1, "the last call's event is sent");
        assert_eq!(look(SILENCE)?, 1, "the last call's event alone is sent");
        drop(channels);
        assert_eq!(open_ports()?.len(), ports_before, "open channels");
        Ok(())
    },

    /// After each mapping the child sets the byte. The next unmapping, by the child or at its end,
    /// clears it.
    #[rule("a process killed at any moment leaves its byte cleared")]
    fn killed_at_any_moment(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let grant = share.grants[0];
        let mut random = Random::new(5);
        for round in 0..30 {
            let mut child = Child::spawn(|| loop {
                let table = GrantTable::open().expect("open");
                let mapping = table
                    .map_notify(grant, Protection::ReadWrite, Some(11), None)
                    .expect("map");
                mapping.write(11, ALIVE);
                mapping.unmap().expect("unmap");
            })?;
            thread::sleep(Duration::from_micros(3000 + random.below(20_000) as u64));
            child.kill()?;
            assert_eq!(child.wait(PATIENCE)?, Some(End::Signalled(SIGKILL)));
            assert_eq!(world.granter.read(&share, 11)?, 0, "round {round}");
        }
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("300 notifications leave no channel behind")]
    fn rounds(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let ports_before = open_ports()?.len();
        let channel = Loopback::open(DOM0)?;
        let table = GrantTable::open()?;
        for round in 0..300 {
            let mapping = table.map_notify(
                share.grants[0],
                Protection::ReadWrite,
                Some(1),
                Some(channel.port()),
            )?;
            mapping.unmap()?;
            assert!(channel.wait(PATIENCE)?, "round {round}: no event");
        }
        drop(channel);
        assert_eq!(open_ports()?.len(), ports_before, "open channels");
        Ok(())
    }
];
