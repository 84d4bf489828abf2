// SPDX-License-Identifier: GPL-2.0

//! An HVM domU, which the harness has started: its console, a disk from the QEMU that emulates its
//! devices, and its end. QEMU uses the grant device as a program of dom0.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clients::agent::Agent;
use clients::blocks;
use clients::command::succeed;
use clients::console;
use clients::disk;
use clients::disk::IMAGE;
use clients::domain;
use clients::limit::PATIENCE;
use clients::open_files::has_open;
use clients::suite;
use clients::suite::Rule;
use guest_test::grant_usage::GrantUsage;
use guest_test::ktap::Verdict;
use suites::remote::RemoteGranter;
use suites::wait::until;
use suites::world::settled;
use xen_grants::xenstore::Xenstore;

const MIB: usize = 4;
const SEED: u32 = 50;
const DISK: &str = "xvda";

const GRANT_DEVICE: &str = "/dev/xen/gntdev";

fn main() -> ExitCode {
    let rules = [
        Rule::new(
            "an HVM domU answers through xenstore and on its console",
            talk,
        ),
        Rule::new(
            format!(
                "the QEMU that emulates an HVM domU's devices serves {MIB} MiB of disk to it by \
                 the grant device"
            ),
            disk,
        ),
        // The domain is gone after this, so no rule can follow.
        Rule::new(
            "a destroyed HVM domU leaves neither its QEMU nor a mapped grant",
            end,
        ),
    ];
    suite::run("client-hvm", &rules)
}

fn talk() -> Verdict {
    let domid = RemoteGranter::domid_of_domu()?;
    let guest_type = Agent::of(domid)?.run("cat /sys/hypervisor/guest_type")?;
    assert_eq!(guest_type, "HVM\n");
    console::assert_answers(domid, 1)?;
    Ok(())
}

fn disk() -> Verdict {
    let domid = RemoteGranter::domid_of_domu()?;
    let agent = Agent::of(domid)?;
    let before = GrantUsage::read()?.count_of_domain(domid);
    disk::make_image(MIB)?;
    let specification = disk::specification(DISK, IMAGE);
    succeed("xl", &["block-attach", &domid.to_string(), &specification])?;
    disk::connect(&agent)?;
    let qemu = device_model(domid)?;
    assert!(
        has_open(&qemu, GRANT_DEVICE)?,
        "{} has no {GRANT_DEVICE}",
        qemu.display()
    );
    let usage = GrantUsage::read()?;
    let count = usage.count_of_domain(domid);
    assert!(count > before, "no ring of the disk is mapped: {usage}");
    let check = format!("disk-check /dev/{DISK} {MIB} {SEED}");
    let ended = agent.try_run(&check)?;
    assert_eq!(ended.status, 0, "in the domU: {}", ended.output);

    succeed("xl", &["block-detach", &domid.to_string(), DISK])?;
    let usage = settled(|usage| usage.count_of_domain(domid) <= before)?;
    let count = usage.count_of_domain(domid);
    assert_eq!(count, before, "grants in use without the disk: {usage}");
    // Dom0 reads the same as the domU wrote.
    blocks::check(Path::new(IMAGE), MIB, SEED)?;
    fs::remove_file(IMAGE)?;
    Ok(())
}

fn end() -> Verdict {
    let domid = RemoteGranter::domid_of_domu()?;
    let qemu = device_model(domid)?;
    assert!(qemu.exists(), "there is no {}", qemu.display());
    succeed("xl", &["destroy", &domid.to_string()])?;
    domain::wait_gone(domid)?;
    let usage = GrantUsage::read()?;
    let count = usage.count_of_domain(domid);
    assert_eq!(count, 0, "grants of domain {domid} in use: {usage}");
    until(PATIENCE, || Ok((!qemu.exists()).then_some(())))?
        .ok_or_else(|| io::Error::other(format!("{} is still there", qemu.display())))?;
    Ok(())
}

/// Folder in /proc of the process that emulates the devices of domain `domid`.
fn device_model(domid: u32) -> io::Result<PathBuf> {
    let node = format!("/local/domain/{domid}/image/device-model-pid");
    let pid = Xenstore::open()?.read(&node)?;
    let pid = pid.ok_or_else(|| io::Error::other(format!("there is no {node}")))?;
    Ok(Path::new("/proc").join(pid))
}
