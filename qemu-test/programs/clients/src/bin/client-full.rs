// SPDX-License-Identifier: GPL-2.0

//! A domU has its disk and its console from dom0 while the hypervisor's table of dom0's mappings is
//! full. The machine must be started with a small table.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clients::agent::Agent;
use clients::blocks;
use clients::console;
use clients::disk;
use clients::disk::IMAGE;
use clients::domain;
use clients::domain::Kind;
use clients::suite;
use clients::suite::Rule;
use guest_test::errno::ENOSPC;
use guest_test::ktap::Verdict;
use suites::cases::full_table::fill;
use suites::granter::Access;
use suites::granter::Granter;
use suites::local::LocalGranter;
use suites::world::assert_error;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;

const MIB: usize = 16;
const SEED: u32 = 40;

/// Number of grants in one region.
const REGION: usize = 64;

fn main() -> ExitCode {
    let rules = [Rule::new(
        "a domU's disk and console go on while the table of dom0's mappings is full",
        disk,
    )
    .expect_c_differs("fails with EINVAL")];
    suite::run("client-full", &rules)
}

fn disk() -> Verdict {
    let domain = disk::plan(Kind::Pv, MIB)?.create()?;
    let domid = domain.domid();
    let agent = Agent::of(domid)?;
    disk::connect(&agent)?;

    let mut granter = LocalGranter::new(DOM0, DOM0)?;
    let share = granter.share(REGION, Access::ReadWrite)?;
    let table = GrantTable::open()?;
    let full = fill(&table, &share);

    // QEMU copies, and has the ring mapped since the domU connected.
    let ended = agent.try_run(&format!("disk-check /dev/xvda {MIB} {SEED}"))?;
    assert_eq!(ended.status, 0, "in the domU: {}", ended.output);
    console::assert_answers(domid, 41)?;
    let result = table.map_all(&share.grants, Protection::ReadWrite);
    assert_error(result, ENOSPC, "still full");

    drop(full);
    drop(table.map_all(&share.grants, Protection::ReadWrite)?);
    domain.destroy()?;
    domain::wait_gone(domid)?;
    blocks::check(Path::new(IMAGE), MIB, SEED)?;
    fs::remove_file(IMAGE)?;
    Ok(())
}
