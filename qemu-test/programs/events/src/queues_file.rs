// SPDX-License-Identifier: GPL-2.0

//! The kernel's file of its queues, in debugfs.
//!
//! ```text
//! ops rust
//! pages 2 ports 2048
//! cpu 0 online 1 block 1 drained 0 astray 0
//! cpu 0 priority 7 ready 0 head 17 next 0 consumed 1730
//! port 4 pending 0 masked 0 linked 0 link 0
//! ```
//!
//! `Documentation/xen/fifo-events.rst` explains the lines. A file of other operations has the first
//! line only.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use clients::agent::Agent;
use clients::agent::LONGEST_OUTPUT;

use crate::debug_key::Link;

/// The file's path.
pub const PATH: &str = "/sys/kernel/debug/xen/evtchn_fifo";

/// One processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// It runs.
    pub online: bool,
    /// The hypervisor knows its control block.
    pub block: bool,
    /// Events that were found in its queues when it had gone.
    pub drained: u64,
    /// Heads and links that led out of their queue.
    pub astray: u64,
}

/// One queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The port that is next, or 0.
    pub first: u32,
    /// Events that were taken from it.
    pub consumed: u64,
}

/// The event word of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// True if an event is pending.
    pub pending: bool,
    /// True if the event is masked.
    pub masked: bool,
    /// Its place in a queue.
    pub link: Link,
}

impl Word {
    /// That of a port that was never used, which has no line.
    pub const UNUSED: Self = Self {
        pending: false,
        masked: true,
        link: Link::Unlinked,
    };
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuesFile {
    /// Whose operations run.
    pub ops: String,
    /// Pages in the event array.
    pub pages: u32,
    /// The processors by number.
    pub processors: BTreeMap<u32, Processor>,
    /// The queues by processor and priority.
    pub queues: BTreeMap<(u32, u32), Queue>,
    /// The event words by port.
    pub words: BTreeMap<u32, Word>,
}

impl QueuesFile {
    /// That of this domain's kernel.
    pub fn of_this_domain() -> io::Result<Self> {
        Self::parse(&fs::read_to_string(PATH)?).map_err(io::Error::other)
    }

    /// That of the domain with this agent, without the words.
    pub fn of_domain(agent: &Agent) -> io::Result<Self> {
        // Of many processors the file is longer than an answer, and of many ports by far.
        const COPY: &str = "/tmp/evtchn_fifo";
        let piece = |begin| format!("tail -c +{} {COPY} | head -c {LONGEST_OUTPUT}", begin + 1);
        let mut text = agent.run(&format!("grep -v ^port {PATH} >{COPY} && {}", piece(0)))?;
        while text.len() % LONGEST_OUTPUT == 0 {
            let next = agent.run(&piece(text.len()))?;
            if next.is_empty() {
                break;
            }
            text.push_str(&next);
        }
        Self::parse(&text).map_err(io::Error::other)
    }

    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let ops = first
            .strip_prefix("ops ")
            .ok_or_else(|| format!("the first line is {first:?}"))?;
        let mut file = Self {
            ops: ops.into(),
            ..Self::default()
        };
        for line in lines {
            file.add(line)
                .ok_or_else(|| format!("not a line of the file: {line:?}"))?;
        }
        if file.ops == "rust" && file.pages == 0 {
            return Err("it tells of no page".into());
        }
        Ok(file)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let (names, numbers): (Vec<&str>, Vec<&str>) = words
            .chunks(2)
            .map(|pair| (pair[0], pair[pair.len() - 1]))
            .unzip();
        let numbers: Vec<u64> = numbers
            .iter()
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()?;
        match (&names[..], &numbers[..]) {
            (["pages", "ports"], [pages, _]) => self.pages = *pages as u32,
            (
                ["cpu", "online", "block", "drained", "astray"],
                [cpu, online, block, drained, astray],
            ) => {
                let processor = Processor {
                    online: *online != 0,
                    block: *block != 0,
                    drained: *drained,
                    astray: *astray,
                };
                self.processors.insert(*cpu as u32, processor);
            }
            (
                ["cpu", "priority", "ready", "head", "next", "consumed"],
                [cpu, priority, ready, head, next, consumed],
            ) => {
                // The head of an empty queue is an old one.
                let first = match (*next, *ready) {
                    (0, 0) => 0,
                    (0, _) => *head as u32,
                    (next, _) => next as u32,
                };
                let queue = Queue {
                    first,
                    consumed: *consumed,
                };
                self.queues.insert((*cpu as u32, *priority as u32), queue);
            }
            (
                ["port", "pending", "masked", "linked", "link"],
                [port, pending, masked, linked, link],
            ) => {
                let word = Word {
                    pending: *pending != 0,
                    masked: *masked != 0,
                    link: match linked {
                        0 => Link::Unlinked,
                        _ => Link::To(*link as u32),
                    },
                };
                self.words.insert(*port as u32, word);
            }
            _ => return None,
        }
        Some(())
    }

    /// Events that were taken from the queues of `priority`, of all processors.
    pub fn consumed(&self, priority: u32) -> u64 {
        self.queues
            .iter()
            .filter(|((_, queue_priority), _)| *queue_priority == priority)
            .map(|(_, queue)| queue.consumed)
            .sum()
    }

    /// Events that were taken from the queues of `processor`, of all priorities.
    pub fn consumed_by(&self, processor: u32) -> u64 {
        self.queues
            .iter()
            .filter(|((queue_processor, _), _)| *queue_processor == processor)
            .map(|(_, queue)| queue.consumed)
            .sum()
    }

    /// Events that were found in the queues of processors that had gone.
    pub fn drained(&self) -> u64 {
        self.processors
            .values()
            .map(|processor| processor.drained)
            .sum()
    }

    /// Heads and links of all processors that led out of their queue.
    pub fn astray(&self) -> u64 {
        self.processors
            .values()
            .map(|processor| processor.astray)
            .sum()
    }

    /// The word of `port`, which has a page.
    pub fn word(&self, port: u32) -> Word {
        self.words.get(&port).copied().unwrap_or(Word::UNUSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ops rust\n\
                        pages 6 ports 6144\n\
                        cpu 0 online 1 block 1 drained 0 astray 0\n\
                        cpu 0 priority 0 ready 0 head 4 next 0 consumed 1200\n\
                        cpu 0 priority 7 ready 1 head 4097 next 0 consumed 34\n\
                        cpu 1 online 0 block 1 drained 2 astray 1\n\
                        cpu 1 priority 7 ready 0 head 9 next 12 consumed 6\n\
                        port 4 pending 0 masked 0 linked 0 link 0\n\
                        port 12 pending 1 masked 0 linked 1 link 40\n";

    #[test]
    fn all_of_it_is_read() {
        let file = QueuesFile::parse(TEXT).unwrap();
        assert_eq!((file.ops.as_str(), file.pages), ("rust", 6));
        let gone = Processor {
            online: false,
            block: true,
            drained: 2,
            astray: 1,
        };
        assert_eq!(file.processors[&1], gone);
        let firsts: Vec<u32> = file.queues.values().map(|queue| queue.first).collect();
        assert_eq!(firsts, [0, 4097, 12]);
        assert_eq!(file.consumed(7), 40);
        assert_eq!(file.consumed(1), 0);
        assert_eq!(file.consumed_by(0), 1234);
        assert_eq!(file.drained(), 2);
        let linked = Word {
            pending: true,
            masked: false,
            link: Link::To(40),
        };
        assert_eq!(file.word(12), linked);
        assert_eq!(file.word(4).link, Link::Unlinked);
        assert_eq!(file.word(13), Word::UNUSED);
    }

    #[test]
    fn of_other_operations_there_is_a_line() {
        for ops in ["c", "2l"] {
            assert_eq!(QueuesFile::parse(&format!("ops {ops}\n")).unwrap().ops, ops);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "pages 6 ports 6144",
            "ops rust\n",
            "ops rust\npages 6\n",
            "ops rust\npages 6 ports many\n",
            "ops rust\npages 6 ports 6144\nhead 5\n",
            "ops rust\npages 6 ports 6144\nport 4 pending 0 masked 0 linked 0\n",
        ] {
            assert!(QueuesFile::parse(text).is_err(), "{text:?}");
        }
    }
}
