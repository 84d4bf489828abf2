// SPDX-License-Identifier: GPL-2.0

//! libxenvchan between dom0 and a domU, each as server (which grants the rings
//! by gntalloc) and as client (which maps them by gntdev).
//!
//! An end that goes, in whatever way, must be seen by the other: it asked its
//! kernel to clear a byte and to send an event when its mapping ends. For the
//! client that is gntdev's unmap notify.

#![forbid(unsafe_code)]

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use clients::agent::Agent;
use clients::agent::VCHAN_CONNECTED as CONNECTED;
use clients::command;
use clients::suite;
use clients::suite::Rule;
use suites::random::Random;
use suites::remote::RemoteGranter;
use suites::wait::until;
use xen_guest::ktap::Verdict;

/// How long the transfer of all data may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How long an end may take to notice that the other has gone.
const NOTICE: Duration = Duration::from_secs(10);

const KILLS: u32 = 10;

/// Who is the server.
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
            240,
            move || exchange(server),
        ));
        rules.push(Rule::new(
            format!("a client in {to} killed at any moment is seen to go by the server in {from}"),
            240,
            move || killed(server, Victim::Client),
        ));
        rules.push(Rule::new(
            format!("a server in {from} killed at any moment is seen to go by the client in {to}"),
            240,
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
    agent: Agent,
    /// The process in the domU.
    domu_pid: String,
    dom0: Child,
    dom0_screen: BufReader<ChildStdout>,
    server: Server,
}

/// What an end in the domU prints, and then its status.
const DOMU_OUTPUT: &str = "/tmp/vchan-end";

impl Ends {
    fn start(server: Server, number: u32, what: &str) -> io::Result<Self> {
        let domid = RemoteGranter::domid_of_domu()?;
        let agent = Agent::of(domid)?;
        let owner = match server {
            Server::Domu => domid,
            Server::Dom0 => 0,
        };
        let path = format!("/local/domain/{owner}/data/vchan-{number}");
        let domu_role = match server {
            Server::Domu => "serve",
            Server::Dom0 => "connect",
        };
        let start_domu = || {
            agent.run(&format!(
                "rm -f {DOMU_OUTPUT}; \
                 (vchan-end {domu_role} 0 {path} {what} >{DOMU_OUTPUT}.part & \
                 echo $! >{DOMU_OUTPUT}.pid; wait $!; \
                 echo status $? >>{DOMU_OUTPUT}.part; mv {DOMU_OUTPUT}.part {DOMU_OUTPUT}) \
                 >/dev/null 2>&1 & \
                 while [ ! -s {DOMU_OUTPUT}.pid ]; do sleep 0.01; done; \
                 cat {DOMU_OUTPUT}.pid; rm {DOMU_OUTPUT}.pid"
            ))
        };
        let start_dom0 = |role| {
            let mut words = vec![role, "domid", &path];
            let domid = domid.to_string();
            words[1] = &domid;
            words.extend(what.split(' '));
            Command::new("vchan-end")
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
        };
        // A client fails when there is no server yet.
        let (mut dom0, domu_pid) = match server {
            Server::Domu => {
                let pid = start_domu()?;
                wait_for_server(&path)?;
                (start_dom0("connect")?, pid)
            }
            Server::Dom0 => {
                let child = start_dom0("serve")?;
                wait_for_server(&path)?;
                (child, start_domu()?)
            }
        };
        let screen = dom0.stdout.take();
        let screen = screen.ok_or_else(|| io::Error::other("dom0's end has no output"))?;
        Ok(Self {
            agent,
            domu_pid: domu_pid.trim().to_string(),
            dom0,
            dom0_screen: BufReader::new(screen),
            server,
        })
    }

    /// Waits until the client is connected, from when on the server sees it.
    fn wait_connected(&mut self) -> io::Result<()> {
        let connected = match self.server {
            Server::Domu => {
                let mut line = String::new();
                self.dom0_screen.read_line(&mut line)?;
                line.trim_end() == CONNECTED
            }
            Server::Dom0 => {
                let look = format!("cat {DOMU_OUTPUT}.part {DOMU_OUTPUT} | grep '{CONNECTED}'");
                until(NOTICE, || {
                    let ended = self.agent.try_run(&look, NOTICE)?;
                    Ok((ended.status == 0).then_some(()))
                })?
                .is_some()
            }
        };
        match connected {
            true => Ok(()),
            false => Err(io::Error::other("the client did not connect")),
        }
    }

    /// Waits for dom0's end to end by itself; returns what it printed.
    fn dom0_output(&mut self, limit: Duration) -> io::Result<String> {
        let status = command::wait(&mut self.dom0, limit)?;
        let mut output = String::new();
        self.dom0_screen.read_to_string(&mut output)?;
        match status {
            Some(0) => Ok(output),
            other => {
                let message = format!("in dom0: status {other:?}: {output}");
                Err(io::Error::other(message))
            }
        }
    }

    /// Waits for the domU's end to end by itself; returns what it printed.
    fn domu_output(&self, limit: Duration) -> io::Result<String> {
        let output = until(limit, || {
            let ended = self
                .agent
                .try_run(&format!("cat {DOMU_OUTPUT}"), Duration::from_secs(30))?;
            Ok((ended.status == 0).then_some(ended.output))
        })?;
        match output {
            Some(output) if output.ends_with("status 0\n") => Ok(output),
            other => {
                self.kill_domu_end()?;
                Err(io::Error::other(format!("in the domU: {other:?}")))
            }
        }
    }

    fn kill_domu_end(&self) -> io::Result<()> {
        self.agent
            .run(&format!("kill -9 {}; true", self.domu_pid))
            .map(drop)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // Errors mean that they have ended already.
        let _ = self.dom0.kill();
        let _ = self.dom0.wait();
    }
}

/// The server writes the event channel last.
fn wait_for_server(path: &str) -> io::Result<()> {
    let store = xen_guest::xenstore::Xenstore::open()?;
    store.wait_for(&format!("{path}/event-channel"), NOTICE, |_| Some(()))
}

fn exchange(server: Server) -> Verdict {
    let number = 100 + server as u32;
    let mut ends = Ends::start(server, number, "exchange 16 7")?;
    let here = ends.dom0_output(LIMIT)?;
    let there = ends.domu_output(LIMIT)?;
    assert!(here.contains("16 MiB each way"), "{here}");
    assert!(there.contains("16 MiB each way"), "{there}");
    Ok(())
}

fn killed(server: Server, victim: Victim) -> Verdict {
    let mut random = Random::new(5);
    let dies_in_domu = (server == Server::Domu) == (victim == Victim::Server);
    for round in 0..KILLS {
        let number = 1000 * (server as u32) + 100 * (victim as u32) + round;
        let mut ends = Ends::start(server, number, "pour")?;
        ends.wait_connected()?;
        // From before the first byte to well into the stream.
        let delay = Duration::from_millis(random.below(200) as u64);
        thread::sleep(delay);
        let survivor = if dies_in_domu {
            ends.kill_domu_end()?;
            ends.dom0_output(NOTICE)
        } else {
            ends.dom0.kill()?;
            ends.dom0.wait()?;
            ends.domu_output(NOTICE)
        };
        let output = survivor.map_err(|error| {
            io::Error::other(format!("round {round}, killed after {delay:?}: {error}"))
        })?;
        assert!(output.contains("has gone"), "round {round}: {output}");
    }
    Ok(())
}
