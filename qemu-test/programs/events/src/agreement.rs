// SPDX-License-Identifier: GPL-2.0

//! Whether the kernel and the hypervisor tell the same of a domain's queues.
//!
//! Events go on while they are asked, one after the other. So the kernel is asked
//! before and after the hypervisor, and only what it says both times counts.

use crate::debug_key::Link;
use crate::debug_key::Ports;
use crate::queues_file::QueuesFile;

/// Event words in a page of the array.
const WORDS_IN_A_PAGE: u32 = 1024;

/// What they tell differently of a domain, in words.
pub fn differences(before: &QueuesFile, ports: &Ports, after: &QueuesFile) -> Vec<String> {
    let mut found = Vec::new();
    let room = after.pages * WORDS_IN_A_PAGE;
    for (number, port) in ports {
        let has_word = port.link != Link::NoWord;
        if has_word != (*number < room) {
            let word = if has_word { "a" } else { "no" };
            found.push(format!(
                "port {number} has {word} word in {} pages",
                after.pages
            ));
        }
    }
    for ((cpu, priority), queue) in &before.queues {
        let Some(later) = after.queues.get(&(*cpu, *priority)) else {
            found.push(format!("the queue {priority} of processor {cpu} has gone"));
            continue;
        };
        if later.consumed < queue.consumed || later.drained < queue.drained {
            found.push(format!(
                "the queue {priority} of processor {cpu} counts backwards"
            ));
        }
        // A queue from which something was taken meanwhile proves nothing.
        if queue != later || queue.head == 0 {
            continue;
        }
        let linked = ports
            .get(&queue.head)
            .is_some_and(|port| matches!(port.link, Link::To(_)));
        if !linked {
            found.push(format!(
                "port {} is the head of queue {priority} of processor {cpu}, but in no queue",
                queue.head
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug_key::Port;

    fn file(pages: u32, head: u32, consumed: u32) -> QueuesFile {
        let text = format!(
            "ops rust\npages {pages}\n\
             cpu 0 priority 7: head {head} consumed {consumed} drained 0\n"
        );
        QueuesFile::parse(&text).unwrap()
    }

    fn ports(link: Link) -> Ports {
        let port = |link| Port {
            pending: true,
            masked: false,
            link,
        };
        Ports::from([(5, port(Link::Unlinked)), (1030, port(link))])
    }

    #[test]
    fn the_same_is_the_same() {
        let file = file(2, 1030, 9);
        let none: [String; 0] = [];
        assert_eq!(differences(&file, &ports(Link::To(0)), &file), none);
    }

    #[test]
    fn a_head_in_no_queue_is_noticed() {
        let file = file(2, 1030, 9);
        let found = differences(&file, &ports(Link::Unlinked), &file);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("port 1030 is the head"), "{found:?}");
    }

    #[test]
    fn a_head_of_the_past_is_not() {
        let (before, after) = (file(2, 1030, 9), file(2, 0, 10));
        assert!(differences(&before, &ports(Link::Unlinked), &after).is_empty());
    }

    #[test]
    fn pages_too_few_or_too_many_are_noticed() {
        let few = file(1, 0, 9);
        let found = differences(&few, &ports(Link::Unlinked), &few);
        assert_eq!(found, ["port 1030 has a word in 1 pages"]);
        let many = file(2, 0, 9);
        let found = differences(&many, &ports(Link::NoWord), &many);
        assert_eq!(found, ["port 1030 has no word in 2 pages"]);
    }

    #[test]
    fn a_counter_that_goes_back_is_noticed() {
        let found = differences(&file(2, 0, 9), &ports(Link::To(0)), &file(2, 0, 8));
        assert_eq!(found, ["the queue 7 of processor 0 counts backwards"]);
    }
}
