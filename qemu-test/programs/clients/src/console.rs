// SPDX-License-Identifier: GPL-2.0

//! A domU's console, by the program that `xl console` starts: through xenconsoled, which maps the
//! page of the console's ring.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::limit::PATIENCE;

/// Fails unless the shell on the console of domain `domid` answers to `number`, which tells this
/// question from earlier ones. The console goes on for the next session.
pub fn assert_answers(domid: u32, number: u32) -> io::Result<()> {
    let mut console = Console::attach(domid)?;
    // The console shows the typed line too, but not the sum.
    console.type_line(&format!("echo sum $(({number} + 1000))"))?;
    console.wait_for(&format!("sum {}", number + 1000), PATIENCE)?;
    Ok(())
}

/// A session on a domain's console; it ends when dropped.
pub struct Console {
    program: Child,
    keys: ChildStdin,
    lines: Receiver<String>,
}

impl Console {
    /// Attaches to the console of domain `domid`.
    pub fn attach(domid: u32) -> io::Result<Self> {
        // Unless told otherwise it does not listen to what is not a terminal.
        let mut program = Command::new("xenconsole")
            .args(["--interactive", &domid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let missing = || io::Error::other("xenconsole has no standard input and output");
        let keys = program.stdin.take().ok_or_else(missing)?;
        let screen = program.stdout.take().ok_or_else(missing)?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(screen).split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).trim_end().to_string();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            program,
            keys,
            lines,
        })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> io::Result<()> {
        self.keys.write_all(format!("{line}\n").as_bytes())?;
        self.keys.flush()
    }

    /// Waits until the console shows a line with `text` in it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> io::Result<String> {
        let deadline = Instant::now() + limit;
        let mut last = String::from("nothing");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => last = line,
                Err(error) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("no {text:?} on the console ({error}); the last line was {last:?}"),
                    ))
                }
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // An error means that it has ended by itself, with the domain.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
