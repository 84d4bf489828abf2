// SPDX-License-Identifier: GPL-2.0

//! Comparison of the kernel's and the hypervisor's view of a domain's queues.
//!
//! Events go on while they are asked, one after the other. So the kernel is asked before and after
//! the hypervisor, and only an answer that is the same both times counts.

use std::io;

use crate::debug_key::Link;
use crate::debug_key::Ports;
use crate::queues_file::QueuesFile;
use crate::queues_file::Word;

/// Event words in a page of the array.
const WORDS_IN_A_PAGE: u32 = 1024;

/// Lines of the event words in a file of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// They are there.
    Told,
    /// They were left out.
    LeftOut,
}

/// The word of an event that will not be delivered: it is not masked, but no queue leads to it.
const FORGOTTEN: Word = Word {
    pending: true,
    masked: false,
    link: Link::Unlinked,
};

/// Number of looks in [`settled`].
const LOOKS: usize = 5;

/// Differences in the last of a few looks, if none was without. A port of the kernel's own may be
/// busy while the hypervisor is asked, and quiet before and after that.
pub fn settled(mut look: impl FnMut() -> io::Result<Vec<String>>) -> io::Result<Vec<String>> {
    let mut found = look()?;
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        println!("# {} differences: looking again", found.len());
        found = look()?;
    }
    Ok(found)
}

/// Differences between the two views of a domain, in words.
pub fn differences(
    before: &QueuesFile,
    ports: &Ports,
    after: &QueuesFile,
    words: Words,
) -> Vec<String> {
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
        let (word, later) = (before.word(*number), after.word(*number));
        let seen = Word {
            pending: port.pending,
            masked: port.masked,
            link: port.link,
        };
        if has_word && words == Words::Told && word == later && word != seen {
            found.push(format!("port {number} is {seen:?} for Xen, not {word:?}"));
        }
        if word == later && word == seen && word == FORGOTTEN {
            found.push(format!("port {number} has an event that is in no queue"));
        }
    }
    for (number, processor) in &after.processors {
        if processor.astray != 0 {
            found.push(format!("processor {number} was led astray"));
        }
        let earlier = before.processors.get(number);
        if earlier.is_none_or(|earlier| earlier.drained > processor.drained) {
            found.push(format!("processor {number} counts backwards"));
        }
    }
    for ((cpu, priority), queue) in &before.queues {
        let Some(later) = after.queues.get(&(*cpu, *priority)) else {
            found.push(format!("the queue {priority} of processor {cpu} has gone"));
            continue;
        };
        if later.consumed < queue.consumed {
            found.push(format!(
                "the queue {priority} of processor {cpu} counts backwards"
            ));
        }
        // A queue from which something was taken meanwhile proves nothing.
        if queue != later || queue.first == 0 {
            continue;
        }
        let linked = ports
            .get(&queue.first)
            .is_some_and(|port| matches!(port.link, Link::To(_)));
        if !linked {
            found.push(format!(
                "port {} is the first of queue {priority} of processor {cpu}, but in no queue",
                queue.first
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug_key::Port;

    fn file(pages: u32, first: u32, consumed: u32) -> QueuesFile {
        let text = format!(
            "ops rust\npages {pages} ports {}\n\
             cpu 0 online 1 block 1 drained 0 astray 0\n\
             cpu 0 priority 7 ready 0 head 5 next {first} consumed {consumed}\n",
            pages * WORDS_IN_A_PAGE
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
        assert_eq!(
            differences(&file, &ports(Link::To(0)), &file, Words::LeftOut),
            none
        );
    }

    #[test]
    fn a_head_in_no_queue_is_noticed() {
        let file = file(2, 1030, 9);
        let found = differences(&file, &ports(Link::Unlinked), &file, Words::LeftOut);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("port 1030 is the first"), "{found:?}");
    }

    #[test]
    fn a_head_of_the_past_is_not() {
        let (before, after) = (file(2, 1030, 9), file(2, 0, 10));
        assert!(differences(&before, &ports(Link::Unlinked), &after, Words::LeftOut).is_empty());
    }

    #[test]
    fn pages_too_few_or_too_many_are_noticed() {
        let few = file(1, 0, 9);
        let found = differences(&few, &ports(Link::Unlinked), &few, Words::LeftOut);
        assert_eq!(found, ["port 1030 has a word in 1 pages"]);
        let many = file(2, 0, 9);
        let found = differences(&many, &ports(Link::NoWord), &many, Words::LeftOut);
        assert_eq!(found, ["port 1030 has no word in 2 pages"]);
    }

    #[test]
    fn a_word_that_xen_sees_otherwise_is_noticed() {
        let told = |line: &str| {
            let text = format!("ops rust\npages 2 ports 2048\n{line}");
            QueuesFile::parse(&text).unwrap()
        };
        let seen = Port {
            pending: true,
            masked: false,
            link: Link::To(0),
        };
        let ports = Ports::from([(1030, seen)]);
        let same = told("port 1030 pending 1 masked 0 linked 1 link 0\n");
        assert!(differences(&same, &ports, &same, Words::Told).is_empty());
        for line in [
            "",
            "port 1030 pending 0 masked 0 linked 1 link 0\n",
            "port 1030 pending 1 masked 1 linked 1 link 0\n",
            "port 1030 pending 1 masked 0 linked 0 link 0\n",
            "port 1030 pending 1 masked 0 linked 1 link 7\n",
        ] {
            let other = told(line);
            assert_eq!(
                differences(&other, &ports, &other, Words::Told).len(),
                1,
                "{line}"
            );
            assert!(
                differences(&other, &ports, &same, Words::Told).is_empty(),
                "{line}"
            );
        }
    }

    #[test]
    fn an_event_in_no_queue_is_noticed() {
        let told = |pending, masked| {
            let line = format!("port 1030 pending {pending} masked {masked} linked 0 link 0\n");
            QueuesFile::parse(&format!("ops rust\npages 2 ports 2048\n{line}")).unwrap()
        };
        let looked = |pending: u8, masked: u8| {
            let port = Port {
                pending: pending != 0,
                masked: masked != 0,
                link: Link::Unlinked,
            };
            let file = told(pending, masked);
            differences(&file, &Ports::from([(1030, port)]), &file, Words::Told)
        };
        assert_eq!(looked(1, 0), ["port 1030 has an event that is in no queue"]);
        assert!(looked(1, 1).is_empty());
        assert!(looked(0, 0).is_empty());
    }

    #[test]
    fn differences_that_pass_are_none() {
        let mut looks = 0;
        let mut look = |until: usize| {
            looks += 1;
            Ok((looks..until).map(|look| look.to_string()).collect())
        };
        assert!(settled(|| look(3)).unwrap().is_empty());
        assert_eq!(settled(|| look(9)).unwrap(), ["8"]);
    }

    #[test]
    fn a_processor_that_went_astray_is_noticed() {
        let text = "ops rust\npages 2 ports 2048\ncpu 0 online 1 block 1 drained 0 astray 3\n";
        let file = QueuesFile::parse(text).unwrap();
        let found = differences(&file, &Ports::new(), &file, Words::Told);
        assert_eq!(found, ["processor 0 was led astray"]);
    }

    #[test]
    fn a_counter_that_goes_back_is_noticed() {
        let found = differences(
            &file(2, 0, 9),
            &ports(Link::To(0)),
            &file(2, 0, 8),
            Words::LeftOut,
        );
        assert_eq!(found, ["the queue 7 of processor 0 counts backwards"]);
    }
}
