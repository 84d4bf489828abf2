// SPDX-License-Identifier: GPL-2.0

//! End of the domU, and another one in its place.

use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use suites::wait::until;
use xen_grants::xenstore::Xenstore;

/// Configuration of the domU that the harness has started.
const CONFIGURATION: &str = "/etc/xen/domU.cfg";
/// Configuration of the one in its place.
const NEXT_CONFIGURATION: &str = "/run/domU-next.cfg";
/// Name of that. The harness waits for the console's output of the first name alone.
const NEXT_NAME: &str = "domU-next";

/// Limit of the start of a domU, which a busy host slows down.
const LIMIT: Duration = Duration::from_secs(3000);

fn xl(arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("xl").args(arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("xl {arguments:?}: {message}")))
}

/// Ends domain `domid` at once.
///
/// # Errors
///
/// Those of xl.
pub fn end(domid: u32) -> io::Result<()> {
    xl(&["destroy", &domid.to_string()]).map(drop)
}

/// Returns true if domain `domid` has not been ended.
///
/// # Errors
///
/// Those of xenstore.
pub fn is_there(domid: u32) -> io::Result<bool> {
    let node = format!("/local/domain/{domid}/domid");
    Ok(Xenstore::open()?.read(&node)?.is_some())
}

/// Starts a domU like the first one, waits until it is up, and returns its number.
///
/// # Errors
///
/// Those of xl and of xenstore, and that of a domU that does not come up.
pub fn start() -> io::Result<u32> {
    let name = |name: &str| format!("name = \"{name}\"");
    let first = fs::read_to_string(CONFIGURATION)?;
    let next = first.replace(&name("domU"), &name(NEXT_NAME));
    if next == first {
        return Err(io::Error::other(format!("{CONFIGURATION} has no name")));
    }
    fs::write(NEXT_CONFIGURATION, next)?;
    xl(&["create", "-q", NEXT_CONFIGURATION])?;
    let text = xl(&["domid", NEXT_NAME])?;
    let domid = text.parse().map_err(io::Error::other)?;
    let store = Xenstore::open()?;
    let ready = format!("/local/domain/{domid}/data/ready");
    until(LIMIT, || Ok(store.read(&ready)?))?
        .map(|_| domid)
        .ok_or_else(|| io::Error::other(format!("domain {domid} does not come up")))
}
