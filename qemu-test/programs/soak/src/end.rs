// SPDX-License-Identifier: GPL-2.0

//! The harness's word that it is enough: a line on the serial port that the command of a boot has.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;

const PORT: &str = "/dev/ttyS1";
const WORD: &str = "end";

/// True once the harness has said so.
#[derive(Clone, Debug)]
pub struct End(Arc<AtomicBool>);

impl End {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        let end = Self(Arc::default());
        let heard = end.clone();
        let port = File::open(PORT)
            .map_err(|error| io::Error::new(error.kind(), format!("{PORT}: {error}")))?;
        let port = BufReader::new(port);
        thread::spawn(move || {
            // After an error the run goes on until the boot's limit, which fails it.
            heard.0.store(says_end(port), Ordering::Relaxed);
        });
        Ok(end)
    }

    /// True if no further round is to begin.
    pub fn is_here(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads lines up to the word. Returns false if there is none.
fn says_end(lines: impl BufRead) -> bool {
    lines
        .lines()
        .map_while(Result::ok)
        .any(|line| line.trim() == WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_a_line() {
        assert!(says_end("screen a 1 taken\nend\n".as_bytes()));
        assert!(!says_end("the end\nendless\n".as_bytes()));
    }
}
