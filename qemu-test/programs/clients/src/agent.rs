// SPDX-License-Identifier: GPL-2.0

//! Having a domU do something: dom0 writes a shell command to a node of the domU's, program `agent`
//! there runs it and writes what came of it to another.
//!
//! ```text
//! request   5f3a echo hello         response  5f3a 0 hello
//! ```
//!
//! The first word tells requests apart. It never repeats, so a domU that was restored from a file
//! does not take a new request for one that it has served.

use std::io;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use xen_grants::xenstore::Xenstore;

use crate::command::Ended;
use crate::limit::PATIENCE;

/// The request's node, in the domU's own part of xenstore.
pub const REQUEST: &str = "data/agent/request";
/// The response's node.
pub const RESPONSE: &str = "data/agent/response";

/// Bytes of output that are sent: of a longer one the end. A node that a domU writes holds 2,048
/// bytes at most, with the words before the output.
pub const LONGEST_OUTPUT: usize = 1900;

/// The agent in a domU, seen from dom0.
pub struct Agent {
    store: Xenstore,
    domid: u32,
}

impl Agent {
    /// The one in domain `domid`, which may still be about to start.
    pub fn of(domid: u32) -> io::Result<Self> {
        let store = Xenstore::open()?;
        Ok(Self { store, domid })
    }

    /// Has `command` run by the domU's shell and returns how that ended.
    pub fn try_run(&self, command: &str) -> io::Result<Ended> {
        let id = self.ask(command)?;
        self.answer(&id, PATIENCE)
    }

    /// Writes the request and returns its id, to wait for its answer later.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let id = format!("{:x}", now.map_or(0, |time| time.as_nanos()));
        self.store
            .write(&self.node(REQUEST), &format!("{id} {command}"))?;
        Ok(id)
    }

    /// Waits for the answer to the request with this id.
    pub fn answer(&self, id: &str, limit: Duration) -> io::Result<Ended> {
        let path = self.node(RESPONSE);
        let parse = |response: &str| parse_response(response, id);
        Ok(self.store.wait_for(&path, limit, parse)?)
    }

    /// As [`Self::try_run`], but the command must succeed; returns what it printed.
    pub fn run(&self, command: &str) -> io::Result<String> {
        let ended = self.try_run(command)?;
        if ended.status != 0 {
            let Ended { status, output } = ended;
            let message = format!(
                "in domain {}: {command}: status {status}: {output}",
                self.domid
            );
            return Err(io::Error::other(message));
        }
        Ok(ended.output)
    }

    fn node(&self, path: &str) -> String {
        format!("/local/domain/{}/{path}", self.domid)
    }
}

/// A request as id and command.
pub fn parse_request(request: &str) -> Option<(&str, &str)> {
    request.split_once(' ')
}

/// The response to the request with this id.
pub fn response(id: &str, ended: &Ended) -> String {
    let output = ended.output.as_bytes();
    let end = &output[output.len().saturating_sub(LONGEST_OUTPUT)..];
    // Cut inside of a letter, that letter becomes a longer mark of its loss.
    let end = String::from_utf8_lossy(end);
    format!("{id} {} {end}", ended.status)
}

fn parse_response(response: &str, id: &str) -> Option<Ended> {
    let (_, rest) = response.split_once(' ').filter(|(first, _)| *first == id)?;
    let (status, output) = rest.split_once(' ')?;
    Some(Ended {
        status: status.parse().ok()?,
        output: output.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_survives_the_journey() {
        let ended = Ended {
            status: 7,
            output: "two\nlines".into(),
        };
        assert_eq!(
            parse_response(&response("a1", &ended), "a1"),
            Some(ended.clone())
        );
        assert_eq!(parse_response(&response("a1", &ended), "a2"), None);
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let ended = Ended {
            status: 0,
            output: format!("{}end", "x".repeat(10_000)),
        };
        let response = response("a1", &ended);
        assert!(response.len() < 2048);
        assert!(response.ends_with("end"));
    }
}
