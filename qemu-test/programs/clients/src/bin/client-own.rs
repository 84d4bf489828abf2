// SPDX-License-Identifier: GPL-2.0

//! Both ends of a device or stream in dom0, which grants pages to itself. A PV dom0 maps them. In a
//! PVH dom0 that would destroy the kernel's memory: the driver refuses it, and says who tried.

#![forbid(unsafe_code)]

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use clients::blocks;
use clients::command::succeed;
use clients::disk;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use clients::vchan_report;
use guest_test::ktap::Verdict;
use guest_test::platform;
use guest_test::platform::Driver;
use suites::suite::skip_case;
use suites::wait::until;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

/// QEMU as the back end of disks.
const QEMU: &str = "/usr/libexec/xen-qemu-system-i386";
/// Node in which QEMU says that it serves.
const QEMU_STATE: &str = "/local/domain/0/device-model/0/state";
/// Node in which libxl looks for the process before it attaches a disk of QEMU's.
const QEMU_PID: &str = "/local/domain/0/image/device-model-pid";

const IMAGE: &str = "/run/own-disk.img";
const DISK: &str = "xvdb";
const DEVICE: &str = "/dev/xvdb";
const MIB: usize = 8;

/// Line of the kernel's log about a refused grant.
const REFUSAL: &str = "maps a grant of this domain (0)";

fn main() -> ExitCode {
    let rules = [
        Rule::new(
            "a stream from dom0 to itself works, or is refused without damage",
            stream,
        ),
        Rule::new(
            "a disk from dom0's QEMU to dom0 works, or is refused without damage",
            disk,
        ),
    ];
    suite::run("client-own", &rules)
}

/// Treatment of own grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Mapped,
    Refused,
}

/// Returns what is to be expected here; `None` if trying it would destroy the kernel's memory.
fn expected() -> io::Result<Option<Outcome>> {
    Ok(match (platform::maps_own_grants()?, Driver::current()?) {
        (true, _) => Some(Outcome::Mapped),
        (false, Driver::Rust) => Some(Outcome::Refused),
        (false, Driver::C) => None,
    })
}

fn stream() -> Verdict {
    const PATH: &str = "/local/domain/0/data/vchan-own";
    const SERVER: &str = "/local/domain/0/data/vchan-own-server";
    const CLIENT: &str = "/local/domain/0/data/vchan-own-client";

    let Some(outcome) = expected()? else {
        return skip_case("the C driver destroys the kernel's memory");
    };
    let store = Xenstore::open()?;
    for node in [PATH, SERVER, CLIENT] {
        store.remove(node)?;
    }
    let refusals = refusals_of("vchan-end")?;
    let start = |role: &str, report: &str| {
        Command::new("vchan-end")
            .env(vchan_report::NODE, report)
            .args([role, &DOM0.to_string(), PATH, "exchange", "2", "9"])
            .stdin(Stdio::null())
            .spawn()
            .map(Program)
    };
    let _server = start("serve", SERVER)?;
    // The server writes the event channel last.
    store.wait_for(&format!("{PATH}/event-channel"), PATIENCE, |_| Some(()))?;
    let _client = start("connect", CLIENT)?;
    match outcome {
        Outcome::Mapped => {
            for report in [SERVER, CLIENT] {
                assert_eq!(vchan_report::wait_done(&store, report)?, "2 MiB each way");
            }
        }
        Outcome::Refused => {
            let result = vchan_report::wait_done(&store, CLIENT);
            assert!(result.is_err(), "the client: {result:?}");
            assert!(
                refusals_of("vchan-end")? > refusals,
                "the kernel's log does not name the client"
            );
        }
    }
    Ok(())
}

fn disk() -> Verdict {
    let Some(outcome) = expected()? else {
        return skip_case("the C driver destroys the kernel's memory");
    };
    if !Path::new("/sys/module/xen_blkfront").exists() {
        succeed("insmod", &["/lib/modules/xen-blkfront.ko"])?;
    }
    File::create(IMAGE)?.set_len((MIB << 20) as u64)?;
    let _qemu = start_qemu()?;
    let refusals = refusals_of("xen-qemu")?;
    let disk = disk::specification(DISK, IMAGE);
    succeed("xl", &["block-attach", "0", &disk])?;
    match outcome {
        Outcome::Mapped => {
            until(PATIENCE, || Ok(Path::new(DEVICE).exists().then_some(())))?
                .ok_or_else(|| io::Error::other(format!("{DEVICE} does not come")))?;
            blocks::write(Path::new(DEVICE), MIB, 30)?;
            blocks::check(Path::new(DEVICE), MIB, 30)?;
        }
        Outcome::Refused => {
            until(PATIENCE, || {
                Ok((refusals_of("xen-qemu")? > refusals).then_some(()))
            })?
            .ok_or_else(|| io::Error::other("the kernel's log does not name QEMU"))?;
            assert!(!Path::new(DEVICE).exists(), "{DEVICE} is there");
        }
    }
    succeed("xl", &["block-detach", "0", DISK])?;
    if outcome == Outcome::Mapped {
        blocks::check(Path::new(IMAGE), MIB, 30)?;
    }
    fs::remove_file(IMAGE)?;
    Ok(())
}

/// A program that ends when this is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts QEMU for dom0's own disks, as the init script of Xen's toolstack does.
fn start_qemu() -> io::Result<Program> {
    let store = Xenstore::open()?;
    store.remove(QEMU_STATE)?;
    let qemu = Command::new(QEMU)
        .args(["-xen-domid", "0", "-xen-attach", "-name", "dom0"])
        .args(["-machine", "xenpv", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-monitor", "none", "-serial", "none"])
        .stdin(Stdio::null())
        .spawn()
        .map(Program)?;
    store.wait_for(QEMU_STATE, PATIENCE, |state| {
        (state == "running").then_some(())
    })?;
    store.write(QEMU_PID, &qemu.0.id().to_string())?;
    Ok(qemu)
}

/// Number of lines in the kernel's log that name a program, by the start of its name, whose mapping
/// of own grants was refused.
fn refusals_of(program: &str) -> io::Result<usize> {
    let log = succeed("dmesg", &[])?;
    Ok(log
        .lines()
        .filter(|line| line.contains(REFUSAL) && line.contains(program))
        .count())
}
