// SPDX-License-Identifier: GPL-2.0

//! What the kernel says of its queues, in debugfs.
//!
//! ```text
//! ops rust
//! pages 6
//! cpu 0 priority 7: head 0 consumed 1234 drained 0
//! ```
//!
//! Read are pairs of a word and a number, wherever the lines end. `cpu` and
//! `priority` hold until there is another; what else there is, is passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// The file's path.
pub const PATH: &str = "/sys/kernel/debug/xen/evtchn_fifo";

/// One queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The port that is next, or 0.
    pub head: u32,
    /// Events that were taken from it.
    pub consumed: u64,
    /// Events that were taken from it when its processor had gone.
    pub drained: u64,
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuesFile {
    /// Whose operations run.
    pub ops: String,
    /// Pages in the event array.
    pub pages: u32,
    /// The queues by processor and priority.
    pub queues: BTreeMap<(u32, u32), Queue>,
}

impl QueuesFile {
    /// This kernel's, or `None` if it has none.
    pub fn read() -> io::Result<Option<Self>> {
        match fs::read_to_string(PATH) {
            Ok(text) => Self::parse(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let ops = first
            .strip_prefix("ops ")
            .ok_or_else(|| format!("the first line is {first:?}"))?;
        let mut file = Self {
            ops: ops.trim().into(),
            ..Self::default()
        };
        let mut pages = None;
        let mut place = (None, None);
        let words: Vec<&str> = rest
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[1].parse::<u64>() else {
                continue;
            };
            match pair[0] {
                "pages" => pages = Some(number as u32),
                "cpu" => place = (Some(number as u32), None),
                "priority" => place.1 = Some(number as u32),
                name @ ("head" | "consumed" | "drained") => {
                    let (Some(cpu), Some(priority)) = place else {
                        return Err(format!("{name} {number} is of no queue"));
                    };
                    let queue = file.queues.entry((cpu, priority)).or_default();
                    match name {
                        "head" => queue.head = number as u32,
                        "consumed" => queue.consumed = number,
                        _ => queue.drained = number,
                    }
                }
                _ => {}
            }
        }
        file.pages = pages.ok_or("it does not tell the number of pages")?;
        Ok(file)
    }

    /// Events that were taken from the queues of `priority`, of all processors.
    pub fn consumed(&self, priority: u32) -> u64 {
        self.queues
            .iter()
            .filter(|((_, queue_priority), _)| *queue_priority == priority)
            .map(|(_, queue)| queue.consumed)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ops rust\n\
                        pages 6\n\
                        cpu 0 priority 0: head 0 consumed 1200 drained 0\n\
                        cpu 0 priority 7: head 4097 consumed 34 drained 0\n\
                        cpu 1 priority 7: head 0 consumed 6 drained 2\n";

    #[test]
    fn every_queue_is_read() {
        let file = QueuesFile::parse(TEXT).unwrap();
        assert_eq!((file.ops.as_str(), file.pages), ("rust", 6));
        assert_eq!(file.queues.len(), 3);
        let queue = Queue {
            head: 4097,
            consumed: 34,
            drained: 0,
        };
        assert_eq!(file.queues[&(0, 7)], queue);
        assert_eq!(file.queues[&(1, 7)].drained, 2);
        assert_eq!(file.consumed(7), 40);
        assert_eq!(file.consumed(1), 0);
    }

    #[test]
    fn the_lines_may_end_elsewhere() {
        let text = TEXT
            .replace(": ", "\n\t")
            .replace(" priority", ":\npriority");
        assert_eq!(QueuesFile::parse(&text), QueuesFile::parse(TEXT));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "pages 6", "ops rust\n", "ops rust\npages 6\nhead 5"] {
            assert!(QueuesFile::parse(text).is_err(), "{text:?}");
        }
    }
}
