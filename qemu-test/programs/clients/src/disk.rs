// SPDX-License-Identifier: GPL-2.0

//! Disks that QEMU's qdisk back end makes of files in dom0.

use std::fs::File;
use std::io;

use crate::agent::Agent;
use crate::domain::Kind;
use crate::domain::Plan;

/// File of the domU's disk, in a tmpfs: the only file system here that can do direct I/O.
pub const IMAGE: &str = "/run/disk.img";

/// Specification of disk `device` in the file `image`, as xl takes it.
pub fn specification(device: &str, image: &str) -> String {
    format!("format=raw,vdev={device},access=rw,backendtype=qdisk,target={image}")
}

/// Makes [`IMAGE`], of `mib` MiB.
pub fn make_image(mib: usize) -> io::Result<()> {
    File::create(IMAGE)?.set_len((mib << 20) as u64)
}

/// Makes [`IMAGE`], of `mib` MiB, and the plan of a domU that has it as disk `xvda`.
pub fn plan(kind: Kind, mib: usize) -> io::Result<Plan> {
    make_image(mib)?;
    let disk = specification("xvda", IMAGE);
    Ok(Plan::with_agent(kind).line(&format!("disk = [ \"{disk}\" ]")))
}

/// Waits until the domU of `agent` has its disk.
pub fn connect(agent: &Agent) -> io::Result<()> {
    agent.run("insmod /lib/modules/xen-blkfront.ko")?;
    agent.run("for try in $(seq 600); do [ -e /dev/xvda ] && exit; sleep 0.1; done; exit 1")?;
    Ok(())
}
