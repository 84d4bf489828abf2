// SPDX-License-Identifier: GPL-2.0

//! Events that were sent and events that were received, lane by lane.

use std::fmt;

use crate::board::Board;
use crate::board::End;
use crate::board::Field;

/// Rule by which events are counted: it depends on the length of bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All were of one event, so each is received.
    Exact,
    /// Events of one burst may have become one.
    Coalescing,
}

/// Number of wrong lanes that are described; the others are only counted.
const DESCRIBED: usize = 5;

/// The sums of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Bursts that were sent.
    pub bursts: u64,
    /// Events that were sent.
    pub notified: u64,
    /// Events that were received.
    pub delivered: u64,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bursts,
            notified,
            delivered,
        } = self;
        write!(
            f,
            "{bursts} bursts, {notified} events sent, {delivered} received"
        )
    }
}

/// Adds up the events that `sender` sent and that the other end received. To be called when none is
/// on its way.
pub fn sums(board: &Board<'_>, sender: End) -> Sums {
    let mut sums = Sums::default();
    for lane in 0..board.lanes() {
        sums.bursts += u64::from(board.get(sender, lane, Field::Posted));
        sums.notified += u64::from(board.get(sender, lane, Field::Notified));
        sums.delivered += u64::from(board.get(sender.other(), lane, Field::Delivered));
    }
    sums
}

/// Fails, with the first lanes that are wrong, unless every lane of the direction from `sender` was
/// received as it was sent.
pub fn check(board: &Board<'_>, sender: End, rule: Rule) -> Result<Sums, String> {
    let wrong: Vec<String> = (0..board.lanes())
        .filter_map(|lane| fault(board, sender, lane, rule))
        .collect();
    if wrong.is_empty() {
        return Ok(sums(board, sender));
    }
    let described = wrong[..wrong.len().min(DESCRIBED)].join("\n");
    let lanes = board.lanes();
    Err(format!(
        "{} of {lanes} lanes from {sender:?} are wrong:\n{described}",
        wrong.len()
    ))
}

fn fault(board: &Board<'_>, sender: End, lane: usize, rule: Rule) -> Option<String> {
    let posted = board.get(sender, lane, Field::Posted);
    let notified = board.get(sender, lane, Field::Notified);
    let seen = board.get(sender.other(), lane, Field::Seen);
    let delivered = board.get(sender.other(), lane, Field::Delivered);
    let what = if seen != posted {
        "an event was lost"
    } else if delivered > notified {
        "events were received that nobody sent"
    } else if delivered < posted || (rule == Rule::Exact && delivered != notified) {
        "events became one that were sent after the other was seen"
    } else {
        return None;
    };
    let ports = End::BOTH.map(|end| board.get(end, lane, Field::Port));
    Some(format!(
        "lane {lane}, port {} of dom0 and {} of the domU: {what}: {notified} events in {posted} \
         bursts sent, {delivered} received, burst {seen} was seen last",
        ports[0], ports[1]
    ))
}

#[cfg(test)]
mod tests {
    use guest_test::mapping;

    use super::*;

    /// Checks two lanes, of which the second has these counts.
    fn checked(rule: Rule, [posted, notified, seen, delivered]: [u32; 4]) -> Result<Sums, String> {
        let memory = mapping::shared(Board::pages(2)).unwrap();
        let board = Board::new(&memory, 2);
        for (lane, [posted, notified, seen, delivered]) in
            [(0, [4, 4, 4, 4]), (1, [posted, notified, seen, delivered])]
        {
            board.set(End::Domu, lane, Field::Posted, posted);
            board.set(End::Domu, lane, Field::Notified, notified);
            board.set(End::Dom0, lane, Field::Seen, seen);
            board.set(End::Dom0, lane, Field::Delivered, delivered);
        }
        check(&board, End::Domu, rule)
    }

    #[test]
    fn sent_is_received() {
        let sums = Sums {
            bursts: 9,
            notified: 9,
            delivered: 9,
        };
        assert_eq!(checked(Rule::Exact, [5, 5, 5, 5]), Ok(sums));
        assert!(checked(Rule::Coalescing, [5, 9, 5, 5]).is_ok());
        assert!(checked(Rule::Coalescing, [5, 9, 5, 9]).is_ok());
    }

    #[test]
    fn a_lost_event_is_found() {
        for (rule, lane) in [
            (Rule::Exact, [5, 5, 4, 4]),
            (Rule::Exact, [5, 5, 5, 4]),
            (Rule::Coalescing, [5, 9, 4, 8]),
            (Rule::Coalescing, [5, 9, 5, 4]),
        ] {
            let message = checked(rule, lane).unwrap_err();
            assert!(message.contains("1 of 2 lanes from Domu"), "{message}");
            assert!(message.contains("lane 1, port"), "{message}");
        }
    }

    #[test]
    fn an_invented_event_is_found() {
        for (rule, lane) in [
            (Rule::Exact, [5, 5, 5, 6]),
            (Rule::Coalescing, [5, 9, 5, 10]),
        ] {
            let message = checked(rule, lane).unwrap_err();
            assert!(message.contains("nobody sent"), "{message}");
        }
    }
}
