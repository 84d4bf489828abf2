// SPDX-License-Identifier: GPL-2.0

//! libxenvchan between dom0 and a domU, each as server (which grants the rings by gntalloc) and as
//! client (which maps them by gntdev).
//!
//! An end that goes, in whatever way, must be seen by the other: it asked its kernel to clear a
//! byte and to send an event when its mapping ends. For the client that is gntdev's unmap notify.

#![forbid(unsafe_code)]

use std::io;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use clients::agent::Agent;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use clients::vchan_report;
use guest_test::ktap::Verdict;
use suites::random::Random;
use suites::remote::RemoteGranter;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

const KILLS: u32 = 10;

/// The domain that serves the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Domu,
    Dom0,
}

fn main() -> ExitCode {
    let mut rules = Vec::new();
    for (server, names) in [
        (Server::Domu, ("domU", "dom0")),
        (Server::Dom0, ("dom0", "domU")),
    ] {
        let (from, to) = names;
        rules.push(Rule::new(
            format!("16 MiB each way, {from} serves, {to} connects"),
            move || exchange(server),
        ));
        rules.push(Rule::new(
            format!("a client in {to} killed at any moment is seen to go by the server in {from}"),
            move || killed(server, Victim::Client),
        ));
        rules.push(Rule::new(
            format!("a server in {from} killed at any moment is seen to go by the client in {to}"),
            move || killed(server, Victim::Server),
        ));
    }
    suite::run("client-vchan", &rules)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
}

/// Dom0's end and the domU's, both started.
struct Ends {
    store: Xenstore,
    agent: Agent,
    dom0: Child,
    /// The process in the domU.
    domu_pid: String,
    /// The nodes to which the ends report.
    dom0_report: String,
    domu_report: String,
    server: Server,
}

impl Ends {
    /// Starts both ends of stream `name`, which do `task`.
    fn start(server: Server, name: &str, task: &str) -> io::Result<Self> {
        let domid = RemoteGranter::domid_of_domu()?;
        let store = Xenstore::open()?;
        let agent = Agent::of(domid)?;
        let node = |domid, what| format!("/local/domain/{domid}/data/vchan-{name}{what}");
        let (owner, dom0_role, domu_role) = match server {
            Server::Domu => (domid, "connect", "serve"),
            Server::Dom0 => (DOM0, "serve", "connect"),
        };
        let path = node(owner, "");
        let dom0_report = node(DOM0, "-report");
        let domu_report = node(domid, "-report");
        for node in [&path, &dom0_report, &domu_report] {
            if store.read(node)?.is_some() {
                store.remove(node)?;
            }
        }
        let start_domu = || {
            agent.run(&format!(
                "{}={domu_report} vchan-end {domu_role} {DOM0} {path} {task} \
                 >/dev/console 2>&1 </dev/null & echo $!",
                vchan_report::NODE
            ))
        };
        let start_dom0 = || {
            Command::new("vchan-end")
                .env(vchan_report::NODE, &dom0_report)
                .args([dom0_role, &domid.to_string(), &path])
                .args(task.split(' '))
                .stdin(Stdio::null())
                .spawn()
        };
        // A client fails when there is no server yet, which writes the event channel last.
        let channel = format!("{path}/event-channel");
        let wait_for_server = || store.wait_for(&channel, PATIENCE, |_| Some(()));
        let (dom0, domu_pid) = match server {
            Server::Domu => {
                let pid = start_domu()?;
                wait_for_server()?;
                (start_dom0()?, pid)
            }
            Server::Dom0 => {
                let child = start_dom0()?;
                wait_for_server()?;
                (child, start_domu()?)
            }
        };
        Ok(Self {
            store,
            agent,
            dom0,
            domu_pid,
            dom0_report,
            domu_report,
            server,
        })
    }

    /// Waits until the client is connected, from when on the server sees it.
    fn wait_connected(&self) -> io::Result<()> {
        let client = match self.server {
            Server::Domu => &self.dom0_report,
            Server::Dom0 => &self.domu_report,
        };
        vchan_report::wait_connected(&self.store, client)
    }

    /// Waits for dom0's end to end by itself; returns its message.
    fn dom0_message(&self) -> io::Result<String> {
        vchan_report::wait_done(&self.store, &self.dom0_report)
    }

    /// Waits for the domU's end to end by itself; returns its message.
    fn domu_message(&self) -> io::Result<String> {
        vchan_report::wait_done(&self.store, &self.domu_report)
    }

    fn kill_dom0_end(&mut self) -> io::Result<()> {
        self.dom0.kill()?;
        self.dom0.wait().map(drop)
    }

    fn kill_domu_end(&self) -> io::Result<()> {
        let command = format!("kill -9 {}", self.domu_pid.trim_end());
        self.agent.run(&command).map(drop)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // An error means that the process has ended already. The domU's end sees it go.
        let _ = self.kill_dom0_end();
    }
}

fn exchange(server: Server) -> Verdict {
    let name = format!("exchange-{server:?}");
    let ends = Ends::start(server, &name, "exchange 16 7")?;
    for message in [ends.dom0_message()?, ends.domu_message()?] {
        assert_eq!(message, "16 MiB each way");
    }
    Ok(())
}

fn killed(server: Server, victim: Victim) -> Verdict {
    let mut random = Random::new(5);
    let dies_in_domu = (server == Server::Domu) == (victim == Victim::Server);
    for round in 0..KILLS {
        let name = format!("killed-{server:?}-{victim:?}-{round}");
        let mut ends = Ends::start(server, &name, "pour")?;
        ends.wait_connected()?;
        // From before the first byte to well into the stream.
        let delay = Duration::from_millis(random.below(200) as u64);
        thread::sleep(delay);
        let survivor = if dies_in_domu {
            ends.kill_domu_end()?;
            ends.dom0_message()
        } else {
            ends.kill_dom0_end()?;
            ends.domu_message()
        };
        let message = survivor.map_err(|error| {
            io::Error::other(format!("round {round}, killed after {delay:?}: {error}"))
        })?;
        assert!(message.contains("has gone"), "round {round}: {message}");
    }
    Ok(())
}
