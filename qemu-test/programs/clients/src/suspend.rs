// SPDX-License-Identifier: GPL-2.0

//! Suspension of the machine to RAM (ACPI S3) by dom0. The harness wakes the machine up as soon as
//! it is suspended.

use std::fs;
use std::io;

use crate::command::succeed;

/// The kernel's file that suspends the machine, and the one that names the state it then enters.
const STATE: &str = "/sys/power/state";
const MODE: &str = "/sys/power/mem_sleep";

/// Messages of the hypervisor before it suspends the machine and after it has been woken up.
const MESSAGES: [&str; 2] = [
    "Entering ACPI S3 state.",
    "Finishing wakeup from ACPI S3 state.",
];

/// Suspends the machine and returns when dom0's tasks run again.
///
/// # Errors
///
/// Those of the methods of [`Suspension`].
pub fn to_ram() -> io::Result<()> {
    let suspension = Suspension::prepare()?;
    suspension.enter()?;
    suspension.check()
}

/// A suspension, step by step, for a program that counts what happens in the second one.
pub struct Suspension(());

impl Suspension {
    /// Drops the hypervisor's messages of earlier suspensions. Fails if the kernel would enter
    /// another state than S3.
    pub fn prepare() -> io::Result<Self> {
        let mode = fs::read_to_string(MODE)?;
        if !mode.contains("[deep]") {
            let message = format!("the kernel's state for \"mem\" is not S3: {mode:?}");
            return Err(io::Error::other(message));
        }
        succeed("xl", &["dmesg", "-c"])?;
        Ok(Self(()))
    }

    /// Suspends the machine and returns when dom0's tasks run again.
    pub fn enter(&self) -> io::Result<()> {
        fs::write(STATE, "mem")
    }

    /// Fails unless the hypervisor has suspended the machine once: the kernel ignores the result of
    /// its hypercall.
    pub fn check(self) -> io::Result<()> {
        check(&succeed("xl", &["dmesg"])?).map_err(io::Error::other)
    }
}

/// Fails unless the hypervisor's `log` reports exactly one suspension.
fn check(log: &str) -> Result<(), String> {
    for message in MESSAGES {
        let count = log.matches(message).count();
        if count != 1 {
            return Err(format!("the hypervisor says {message:?} {count} times"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "(XEN) [   12.5] Preparing system for ACPI S3 state.\n\
        (XEN) [   12.6] Entering ACPI S3 state.\n\
        (XEN) [   12.7] Finishing wakeup from ACPI S3 state.\n";

    #[test]
    fn one_suspension_is_seen() {
        assert_eq!(check(LOG), Ok(()));
    }

    #[test]
    fn none_and_two_are_noticed() {
        let error = check("(XEN) [   12.5] Preparing system for ACPI S3 state.\n").unwrap_err();
        assert!(error.ends_with("0 times"), "{error}");
        assert!(check(&LOG[..LOG.find("Finishing").unwrap()]).is_err());
        let error = check(&LOG.repeat(2)).unwrap_err();
        assert!(error.ends_with("2 times"), "{error}");
    }
}
