// SPDX-License-Identifier: GPL-2.0

//! Domains that xl makes and ends.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::process::Command;

use guest_test::domain_list::DomainList;
use guest_test::domain_list::DomainState;
use suites::wait::until;
use xen_grants::xenstore::Xenstore;

use crate::command;
use crate::command::succeed;
use crate::lifeless_kernel;
use crate::limit::PATIENCE;

/// Name of the domains of the suites, one at a time. The harness writes the console of that name to
/// its log.
pub const NAME: &str = "client";

/// Kernel of a domain that runs, and of one that does not.
const KERNEL: &str = "/boot/vmlinuz";
const LIFELESS_KERNEL: &str = "/run/lifeless-kernel";

/// Memory of a domain that does not run, in MiB.
const LIFELESS_MEMORY: u32 = 8;

/// Virtualization of a domain's memory and processors.
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

/// Configuration of a domain to create.
#[derive(Clone, Debug)]
pub struct Plan {
    name: &'static str,
    kind: Kind,
    system: bool,
    vcpus: u32,
    parameters: String,
    lines: String,
    environment: Vec<(String, String)>,
}

impl Plan {
    /// A domain in which the agent runs.
    pub fn with_agent(kind: Kind) -> Self {
        Self::new(kind, true)
    }

    /// A domain that is only made, not started: its only grants are those of its console and
    /// xenstore rings.
    pub fn lifeless(kind: Kind) -> Self {
        Self::new(kind, false)
    }

    fn new(kind: Kind, system: bool) -> Self {
        Self {
            name: NAME,
            kind,
            system,
            vcpus: 1,
            parameters: String::new(),
            lines: String::new(),
            environment: Vec::new(),
        }
    }

    /// With a name of its own. Domains of different names can live at the same time.
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// With `count` processors instead of one.
    pub fn vcpus(mut self, count: u32) -> Self {
        self.vcpus = count;
        self
    }

    /// Adds a parameter of the kernel.
    pub fn parameter(mut self, parameter: &str) -> Self {
        self.parameters.push(' ');
        self.parameters.push_str(parameter);
        self
    }

    /// Adds a line to xl's configuration.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// With a variable in the environment of the programs that xl starts.
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
        let path = format!("/run/{}.cfg", self.name);
        fs::write(&path, self.configuration(memory_of_domu()?))?;
        if !self.system {
            fs::write(LIFELESS_KERNEL, lifeless_kernel::image())?;
        }
        let mut xl = Command::new("xl");
        xl.args(["create", "-q"]).args(options).arg(&path);
        xl.envs(self.environment.iter().cloned());
        command::must_succeed(&mut xl)?;
        Domain::find(self.name, self.kind)
    }

    /// Text of xl's configuration file, for a domain of a system with `memory` MiB.
    fn configuration(&self, memory: u32) -> String {
        let kind = match self.kind {
            Kind::Pv => "pv",
            Kind::Pvh => "pvh",
        };
        let (kernel, ramdisk, memory) = match self.system {
            true => (KERNEL, "ramdisk = \"/boot/domU-initramfs\"\n", memory),
            false => (LIFELESS_KERNEL, "", LIFELESS_MEMORY),
        };
        // As all other kernels of the boot, it runs the port operations that were asked for.
        let events = env::var("EVENTS_ARGUMENTS").unwrap_or_default();
        format!(
            "name = \"{}\"\ntype = \"{kind}\"\nkernel = \"{kernel}\"\nvcpus = {}\n\
             extra = \"console=hvc0 panic=-1 loglevel=8 {events}{}\"\non_crash = \"preserve\"\n\
             {ramdisk}memory = {memory}\n{}",
            self.name, self.vcpus, self.parameters, self.lines
        )
    }
}

/// Memory that the kernel of the boot takes in a domU, in MiB.
fn memory_of_domu() -> io::Result<u32> {
    env::var("DOMU_MEMORY")
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("$DOMU_MEMORY does not say how much a domU takes"))
}

/// A domain of the suites; it is destroyed when dropped.
#[derive(Debug)]
pub struct Domain {
    name: &'static str,
    kind: Kind,
    domid: u32,
}

impl Domain {
    /// Restores the one that [`Self::save`] wrote to `path`.
    pub fn restore(kind: Kind, path: &str) -> io::Result<Self> {
        succeed("xl", &["restore", path])?;
        Self::find(NAME, kind)
    }

    /// The one that xl has made.
    fn find(name: &'static str, kind: Kind) -> io::Result<Self> {
        let domid = domid_of(name)?;
        let domid = domid.ok_or_else(|| io::Error::other("xl has made no domain"))?;
        Ok(Self { name, kind, domid })
    }

    /// Returns the kind of the domain.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number that it has now; a reboot gives it another.
    pub fn domid(&self) -> u32 {
        self.domid
    }

    /// Asks the domain to reboot and waits until there is a new one.
    pub fn reboot(&mut self) -> io::Result<()> {
        let old = self.domid;
        succeed("xl", &["reboot", self.name])?;
        self.domid = until(PATIENCE, || {
            Ok(domid_of(self.name)?.filter(|domid| *domid != old))
        })?
        .ok_or_else(|| io::Error::other(format!("domain {old} did not reboot: {}", list())))?;
        Ok(())
    }

    /// Asks the domain to shut down and waits until it has.
    pub fn shut_down(&self) -> io::Result<()> {
        succeed("xl", &["shutdown", self.name])?;
        let domains = DomainList::open()?;
        until(PATIENCE, || {
            let state = domains.get(self.domid)?;
            Ok(state.filter(|state| state.shut_down))
        })?
        .map(drop)
        .ok_or_else(|| io::Error::other(format!("did not shut down: {}", list())))
    }

    /// Stops its processors.
    pub fn pause(&self) -> io::Result<()> {
        succeed("xl", &["pause", self.name]).map(drop)
    }

    /// Lets it run.
    pub fn unpause(&self) -> io::Result<()> {
        succeed("xl", &["unpause", self.name]).map(drop)
    }

    /// Writes the domain to the file at `path` and ends it.
    pub fn save(self, path: &str) -> io::Result<()> {
        let result = succeed("xl", &["save", self.name, path]).map(drop);
        if result.is_ok() {
            std::mem::forget(self);
        }
        result
    }

    /// Writes the domain to the file at `path`; the domain goes on.
    pub fn checkpoint(&self, path: &str) -> io::Result<()> {
        succeed("xl", &["save", "-c", self.name, path]).map(drop)
    }

    /// Tries to write the domain to the file at `path`, where there is too little room. Fails if xl
    /// does not notice. The domain goes on.
    pub fn fail_to_save(&self, path: &str) -> io::Result<()> {
        let mut xl = Command::new("xl");
        let ended = command::run(xl.args(["save", self.name, path]), PATIENCE)?;
        match ended.status {
            0 => Err(io::Error::other(format!("{path} has room for the domain"))),
            _ if ended.output.contains("No space left on device") => Ok(()),
            _ => Err(io::Error::other(ended.output)),
        }
    }

    /// Ends it at once.
    pub fn destroy(self) -> io::Result<()> {
        let result = succeed("xl", &["destroy", self.name]).map(drop);
        std::mem::forget(self);
        result
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // A case that failed may have left it in any state, or not at all.
        remove(self.name);
    }
}

/// Number of the domain of this name, if there is one. It may still be about to be made.
fn domid_of(name: &str) -> io::Result<Option<u32>> {
    let store = Xenstore::open()?;
    for DomainState { domid, .. } in DomainList::open()?.all()? {
        let found = store.read(&format!("/local/domain/{domid}/name"))?;
        if found.as_deref() == Some(name) {
            return Ok(Some(domid));
        }
    }
    Ok(None)
}

/// Ends the suites' domain, if there is one.
pub fn remove_leftover() {
    remove(NAME);
}

fn remove(name: &str) {
    if !matches!(domid_of(name), Ok(None)) {
        let _ = command::run(Command::new("xl").args(["destroy", name]), PATIENCE);
    }
}

/// True if the hypervisor knows domain `domid`, if only as the rest of one: that stays as long as a
/// page of it is mapped.
pub fn is_known(domid: u32) -> io::Result<bool> {
    Ok(DomainList::open()?.get(domid)?.is_some())
}

/// Fails unless domain `domid` goes altogether.
pub fn wait_gone(domid: u32) -> io::Result<()> {
    let domains = DomainList::open()?;
    until(PATIENCE, || Ok(domains.get(domid)?.is_none().then_some(())))?
        .ok_or_else(|| io::Error::other(format!("something of domain {domid} is left: {}", list())))
}

/// All domains, for a message.
pub fn list() -> String {
    succeed("xl", &["list"]).unwrap_or_else(|error| error.to_string())
}
