// SPDX-License-Identifier: GPL-2.0

//! Loading of the driver to measure.

use std::io;
use std::process::Command;

use guest_test::platform::Driver;

/// Loads `driver` in place of the loaded one.
pub fn load(driver: Driver) -> io::Result<()> {
    if let Ok(loaded) = Driver::current() {
        if loaded == driver {
            return Ok(());
        }
        run("rmmod", module(loaded).replace('-', "_"))?;
    }
    run("insmod", format!("/lib/modules/{}.ko", module(driver)))
}

fn module(driver: Driver) -> &'static str {
    match driver {
        Driver::C => "xen-gntdev",
        Driver::Rust => "xen_gntdev_rust",
    }
}

fn run(program: &str, argument: String) -> io::Result<()> {
    let status = Command::new(program).arg(&argument).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{program} {argument}: {status}")))
}
