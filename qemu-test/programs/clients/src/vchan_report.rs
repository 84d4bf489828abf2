// SPDX-License-Identifier: GPL-2.0

//! Reports of program `vchan-end`: it writes its state to a node of xenstore, so that dom0 is told
//! of it by a watch, in whichever domain it runs.

use std::io;

use xen_grants::xenstore::Xenstore;

use crate::limit::PATIENCE;

/// Variable of the environment that names the node.
pub const NODE: &str = "VCHAN_REPORT";

/// State of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Both ends are there.
    Connected,
    /// It has ended as it was to, with a message.
    Done(String),
    /// It has ended by an error.
    Failed(String),
}

const CONNECTED: &str = "connected";
const DONE: &str = "done";
const FAILED: &str = "failed";

impl Report {
    fn to_text(&self) -> String {
        match self {
            Self::Connected => CONNECTED.into(),
            Self::Done(message) => format!("{DONE} {message}"),
            Self::Failed(message) => format!("{FAILED} {message}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (word, message) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            CONNECTED => Some(Self::Connected),
            DONE => Some(Self::Done(message.into())),
            FAILED => Some(Self::Failed(message.into())),
            _ => None,
        }
    }

    /// Writes the report to `node`.
    pub fn write(&self, node: &str) -> io::Result<()> {
        Ok(Xenstore::open()?.write(node, &self.to_text())?)
    }
}

/// Waits until an end has reported to `node` that it is connected.
pub fn wait_connected(store: &Xenstore, node: &str) -> io::Result<()> {
    wait(store, node, |report| match report {
        Report::Connected => Some(Ok(())),
        Report::Done(message) | Report::Failed(message) => Some(Err(message)),
    })
}

/// Waits until an end has reported to `node` that it has ended, and returns its message.
pub fn wait_done(store: &Xenstore, node: &str) -> io::Result<String> {
    wait(store, node, |report| match report {
        Report::Connected => None,
        Report::Done(message) => Some(Ok(message)),
        Report::Failed(message) => Some(Err(message)),
    })
}

fn wait<T>(
    store: &Xenstore,
    node: &str,
    wanted: impl Fn(Report) -> Option<Result<T, String>>,
) -> io::Result<T> {
    store
        .wait_for(node, PATIENCE, |text| Report::parse(text).and_then(&wanted))?
        .map_err(|message| io::Error::other(format!("{node}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_journey() {
        for report in [
            Report::Connected,
            Report::Done("16 MiB each way".into()),
            Report::Failed("the other end did not come".into()),
        ] {
            assert_eq!(Report::parse(&report.to_text()), Some(report));
        }
        assert_eq!(Report::parse(""), None);
    }
}
