// SPDX-License-Identifier: GPL-2.0

//! A domU that lives for a round.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::thread;

use clients::agent::Agent;
use clients::domain;
use clients::domain::Domain;
use clients::domain::Kind;
use clients::domain::Plan;

/// Folder of the console daemon's files, one for each name of a domain.
const CONSOLES: &str = "/var/log/xen/console";
/// The file of the domain that the harness started, from which its log is written.
const CONSOLE_OF_DOMU: &str = "guest-domU.log";

/// More than the event channels of a storm.
const EVENT_CHANNELS: &str = "max_event_channels = 16384";

/// A domU in which an agent runs.
pub struct Peer {
    domain: Domain,
    /// Its agent.
    pub agent: Agent,
}

impl Peer {
    /// Makes a domU of this name, with as many processors as dom0, and waits until its agent
    /// answers.
    pub fn start(name: &'static str) -> io::Result<Self> {
        let processors = thread::available_parallelism()?.get() as u32;
        let plan = plan(Plan::with_agent(Kind::Pv)).vcpus(processors);
        let domain = plan.named(name).create()?;
        let agent = Agent::of(domain.domid())?;
        agent.run("true")?;
        Ok(Self { domain, agent })
    }

    /// As [`Self::start`]; program `granter` runs in it as well.
    pub fn with_granter(name: &'static str) -> io::Result<Self> {
        let peer = Self::start(name)?;
        peer.agent.run("granter >/dev/null 2>&1 &")?;
        Ok(peer)
    }

    /// Its number.
    pub fn domid(&self) -> u32 {
        self.domain.domid()
    }

    /// Ends it: by a shutdown in each other round, else at once. Nothing of it may stay.
    pub fn end(self, round: u64) -> io::Result<()> {
        let domid = self.domid();
        if round % 2 == 0 {
            self.domain.shut_down()?;
        }
        self.domain.destroy()?;
        domain::wait_gone(domid)
    }
}

/// The settings that all domUs of this program have.
pub fn plan(plan: Plan) -> Plan {
    // A domain that has shut down stays to be destroyed.
    plan.line("on_poweroff = \"preserve\"").line(EVENT_CHANNELS)
}

/// Has the consoles of the domains of these names written to the harness's log, not to files, which
/// would take dom0's memory.
pub fn share_console(names: &[&str]) -> io::Result<()> {
    for name in names {
        let path = format!("{CONSOLES}/guest-{name}.log");
        if fs::symlink_metadata(&path).is_err() {
            symlink(CONSOLE_OF_DOMU, path)?;
        }
    }
    Ok(())
}
