// SPDX-License-Identifier: GPL-2.0

//! State of a Debian system, after its own init has started it as dom0 with the package of the
//! driver installed, refused by the kernel, or removed.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;

use clients::command;
use clients::limit::PATIENCE;
use clients::limit::RULE_LIMIT;
use clients::open_files::has_open;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Verdict;

const NAME: &str = "installed-system";
const DEVICE: &str = "/dev/xen/gntdev";
const RUST: &str = "xen_gntdev_rust";
const C: &str = "xen_gntdev";
/// Beginning of the package's message about a module that was not loaded.
const MESSAGE: &str = "xen-gntdev-rust: ";

/// Text and check of a rule.
type Rule = (&'static str, fn() -> Verdict);

/// Rules of each system.
const ALWAYS: [Rule; 5] = [
    ("systemd is the first process", || {
        assert_eq!(fs::read_to_string("/proc/1/comm")?, "systemd\n");
        Ok(())
    }),
    ("the start comes to an end, and no unit has failed", || {
        let state = output(&["systemctl", "is-system-running", "--wait"])?;
        let failed = output(&["systemctl", "--failed", "--plain", "--no-legend"])?;
        assert_eq!((state.as_str(), failed.as_str()), ("running\n", ""));
        Ok(())
    }),
    ("the device is root's alone", || {
        let device = fs::metadata(DEVICE)?;
        assert!(device.file_type().is_char_device());
        assert_eq!(
            (device.uid(), device.gid(), device.mode() & 0o7777),
            (0, 0, 0o600)
        );
        Ok(())
    }),
    ("xenstored and xenconsoled have the device open", || {
        assert_eq!(
            output(&["systemctl", "is-active", "xen.service"])?,
            "active\n"
        );
        let users = users_of(DEVICE)?;
        for daemon in ["xenstored", "xenconsoled"] {
            assert!(users.contains(daemon), "{DEVICE} is open in {users:?}");
        }
        Ok(())
    }),
    ("xl finds dom0 by its name in xenstore", || {
        assert_eq!(
            command::succeed("xl", &["domid", "Domain-0"])?,
            "0\n",
            "xl domid"
        );
        Ok(())
    }),
];

const WITH_RUST: [Rule; 2] = [
    ("the Rust driver is the loaded one", || {
        assert_eq!(loaded(), [RUST]);
        Ok(())
    }),
    ("the kernel's log has no message of the package", || {
        assert_eq!(messages()?, [""; 0]);
        Ok(())
    }),
];

const WITH_C: [Rule; 2] = [
    ("Linux's own driver is the loaded one", || {
        assert_eq!(loaded(), [C]);
        Ok(())
    }),
    ("there is no module of the package", || {
        let ended = command::run(Command::new("modinfo").arg(RUST), PATIENCE)?;
        assert_ne!(ended.status, 0, "{}", ended.output);
        Ok(())
    }),
];

const WITH_REFUSED: [Rule; 4] = [
    ("the kernel rejects the module for its signature", || {
        assert_eq!(
            fs::read_to_string("/sys/module/module/parameters/sig_enforce")?,
            "Y\n"
        );
        let ended = command::run(Command::new("modprobe").arg(RUST), PATIENCE)?;
        assert_ne!(ended.status, 0);
        assert!(
            ended.output.contains("Key was rejected by service"),
            "{}",
            ended.output
        );
        Ok(())
    }),
    ("Linux's own driver is loaded in its place", || {
        assert_eq!(loaded(), [C]);
        Ok(())
    }),
    ("systemd-modules-load has loaded it", || {
        // The journal finds the unit of a message by its process, which may have ended before the
        // journal starts. The process itself says its identifier.
        let log = output(&[
            "journalctl",
            "--boot",
            "--output=cat",
            "--identifier=systemd-modules-load",
        ])?;
        assert!(log.contains("Inserted module 'xen_gntdev'"), "{log}");
        Ok(())
    }),
    (
        "the kernel's log says so once, and how to enroll the key",
        || {
            let messages = messages()?;
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains("mokutil --import"), "{}", messages[0]);
            Ok(())
        },
    ),
];

fn main() -> ExitCode {
    let of_driver: &[Rule] = match env::args().nth(1).as_deref() {
        Some("rust") => &WITH_RUST,
        Some("c") => &WITH_C,
        Some("refused") => &WITH_REFUSED,
        _ => {
            eprintln!("usage: {NAME} rust|c|refused");
            return ExitCode::from(2);
        }
    };
    let cases = ALWAYS
        .iter()
        .chain(of_driver)
        .map(|&(name, check)| Case {
            name: name.to_string(),
            limit: RULE_LIMIT,
            expected_failure: None,
            body: Box::new(check),
        })
        .collect();
    ktap::run(NAME, cases, || Ok(()))
}

/// Output of a program, which may fail.
fn output(argv: &[&str]) -> io::Result<String> {
    let ended = command::run(Command::new(argv[0]).args(&argv[1..]), PATIENCE)?;
    Ok(ended.output)
}

/// Those of the two drivers that are loaded.
fn loaded() -> Vec<&'static str> {
    [RUST, C]
        .into_iter()
        .filter(|module| Path::new("/sys/module").join(module).exists())
        .collect()
}

/// Messages of the package in the kernel's log.
fn messages() -> io::Result<Vec<String>> {
    let log = command::succeed("dmesg", &["--notime"])?;
    let lines = log.lines().filter(|line| line.starts_with(MESSAGE));
    Ok(lines.map(str::to_string).collect())
}

/// Names of the processes that have the file at `path` open.
fn users_of(path: &str) -> io::Result<BTreeSet<String>> {
    let mut users = BTreeSet::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // Entries that are no process have no files; a process may end meanwhile.
        if has_open(&process, path).unwrap_or(false) {
            users.insert(fs::read_to_string(process.join("comm"))?.trim().to_string());
        }
    }
    Ok(users)
}
