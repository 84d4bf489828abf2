// SPDX-License-Identifier: GPL-2.0

//! Domains that xl makes and ends.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use suites::wait::until;

use crate::command;
use crate::command::succeed;

/// All domains of the suites have this name, one at a time. The harness writes
/// the console of that name to its log.
pub const NAME: &str = "client";

/// Longer than a domain takes to a file or from it, in a PVH dom0 of a busy machine.
const MOVE_LIMIT: Duration = Duration::from_secs(400);

/// How a domain's memory and processors are virtualized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Paravirtual.
    Pv,
    /// By hardware, without emulated devices.
    Pvh,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pv => "PV",
            Self::Pvh => "PVH",
        })
    }
}

/// A domain as it is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    kind: Kind,
    system: bool,
    vcpus: u32,
    lines: String,
    environment: Vec<(String, String)>,
}

impl Plan {
    /// A domain in which the agent runs.
    pub fn with_agent(kind: Kind) -> Self {
        Self::new(kind, true)
    }

    /// A domain that is only made, not started: all that it has are the grants
    /// of its console and xenstore rings.
    pub fn lifeless(kind: Kind) -> Self {
        Self::new(kind, false)
    }

    fn new(kind: Kind, system: bool) -> Self {
        Self {
            kind,
            system,
            vcpus: 1,
            lines: String::new(),
            environment: Vec::new(),
        }
    }

    /// With so many processors instead of one.
    pub fn vcpus(mut self, count: u32) -> Self {
        self.vcpus = count;
        self
    }

    /// With a further line of xl's configuration.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// With a variable in the environment of what xl starts.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Makes the domain; it runs.
    pub fn create(self) -> io::Result<Domain> {
        self.xl_create(&[])
    }

    /// Makes the domain; it does not run yet.
    pub fn create_paused(self) -> io::Result<Domain> {
        self.xl_create(&["-p"])
    }

    fn xl_create(self, options: &[&str]) -> io::Result<Domain> {
        let path = format!("/run/{NAME}.cfg");
        fs::write(&path, self.configuration(memory_of_domu()?))?;
        let mut xl = Command::new("xl");
        xl.args(["create", "-q"]).args(options).arg(&path);
        xl.envs(self.environment.iter().cloned());
        command::must_succeed(&mut xl)?;
        let domain = Domain { kind: self.kind };
        domain.domid()?;
        Ok(domain)
    }

    /// What xl reads, for a domain of a system with `memory` MiB.
    fn configuration(&self, memory: u32) -> String {
        let kind = match self.kind {
            Kind::Pv => "pv",
            Kind::Pvh => "pvh",
        };
        let (ramdisk, memory) = match self.system {
            true => ("ramdisk = \"/boot/domU-initramfs\"\n", memory),
            // The kernel has to fit in, and the less there is, the sooner a domain is made.
            false => ("", memory / 2),
        };
        // As all other kernels of the boot, it runs the port operations that were asked for.
        let events = env::var("EVENTS_ARGUMENTS").unwrap_or_default();
        format!(
            "name = \"{NAME}\"\ntype = \"{kind}\"\nkernel = \"/boot/vmlinuz\"\nvcpus = {}\n\
             extra = \"console=hvc0 panic=-1 loglevel=8 {events}\"\non_crash = \"preserve\"\n\
             {ramdisk}memory = {memory}\n{}",
            self.vcpus, self.lines
        )
    }
}

/// As much memory, in MiB, as the kernel of the boot takes in a domU.
fn memory_of_domu() -> io::Result<u32> {
    env::var("DOMU_MEMORY")
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("$DOMU_MEMORY does not say how much a domU takes"))
}

/// A domain of the suites; it is destroyed when dropped.
#[derive(Debug)]
pub struct Domain {
    kind: Kind,
}

impl Domain {
    /// Restores the one that [`Self::save`] wrote to `path`.
    pub fn restore(kind: Kind, path: &str) -> io::Result<Self> {
        move_by_file(&["restore", path])?;
        let domain = Self { kind };
        domain.domid()?;
        Ok(domain)
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number that it has now; a reboot gives it another.
    pub fn domid(&self) -> io::Result<u32> {
        let text = succeed("xl", &["domid", NAME])?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::other(format!("xl domid {NAME}: {text:?}")))
    }

    /// Asks the domain to reboot and waits until there is a new one.
    pub fn reboot(&self, limit: Duration) -> io::Result<u32> {
        let old = self.domid()?;
        succeed("xl", &["reboot", NAME])?;
        until(limit, || {
            Ok(self.domid().ok().filter(|domid| *domid != old))
        })?
        .ok_or_else(|| io::Error::other(format!("domain {old} did not reboot: {}", list())))
    }

    /// Asks the domain to shut down and waits until it has.
    pub fn shut_down(&self, limit: Duration) -> io::Result<()> {
        succeed("xl", &["shutdown", NAME])?;
        until(limit, || {
            let state = succeed("xl", &["list", NAME])?;
            Ok(state.contains("---s-").then_some(()))
        })?
        .ok_or_else(|| io::Error::other(format!("did not shut down: {}", list())))
    }

    /// Stops its processors.
    pub fn pause(&self) -> io::Result<()> {
        succeed("xl", &["pause", NAME]).map(drop)
    }

    /// Lets it run.
    pub fn unpause(&self) -> io::Result<()> {
        succeed("xl", &["unpause", NAME]).map(drop)
    }

    /// Writes the domain to the file at `path` and ends it.
    pub fn save(self, path: &str) -> io::Result<()> {
        let result = move_by_file(&["save", NAME, path]);
        if result.is_ok() {
            std::mem::forget(self);
        }
        result
    }

    /// Ends it at once.
    pub fn destroy(self) -> io::Result<()> {
        let result = succeed("xl", &["destroy", NAME]).map(drop);
        std::mem::forget(self);
        result
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // A case that failed may have left it in any state, or not at all.
        remove_leftover();
    }
}

/// Runs xl to write a domain to a file, or to read one. A domU that translates its
/// own addresses is looked through up to where the special pages are, below 4 GiB.
fn move_by_file(arguments: &[&str]) -> io::Result<()> {
    command::must_succeed_within(Command::new("xl").args(arguments), MOVE_LIMIT).map(drop)
}

/// Ends the suites' domain, if there is one.
pub fn remove_leftover() {
    let _ = command::run(Command::new("xl").args(["destroy", NAME]), command::LIMIT);
}

/// Whether the hypervisor knows domain `domid`, if only as the rest of one: that
/// stays as long as somebody has a page of it mapped.
pub fn is_known(domid: u32) -> io::Result<bool> {
    let domid = domid.to_string();
    let ended = command::run(Command::new("xl").args(["list", &domid]), command::LIMIT)?;
    Ok(ended.status == 0)
}

/// Fails unless domain `domid` goes altogether, within `limit`.
pub fn wait_gone(domid: u32, limit: Duration) -> io::Result<()> {
    until(limit, || Ok((!is_known(domid)?).then_some(())))?
        .ok_or_else(|| io::Error::other(format!("something of domain {domid} is left: {}", list())))
}

/// All domains, for a message.
pub fn list() -> String {
    succeed("xl", &["list"]).unwrap_or_else(|error| error.to_string())
}
