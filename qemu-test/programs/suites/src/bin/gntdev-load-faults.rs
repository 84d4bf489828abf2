// SPDX-License-Identifier: GPL-2.0

//! The module is loaded with a failure at each point where its start can fail, on a kernel that
//! injects failures. Nobody else may use the device.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use guest_test::fault_injection::FaultInjection;
use guest_test::gntdev::Gntdev;
use guest_test::kernel_module;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Verdict;
use suites::faults::walk_once;
use suites::faults::Failure;
use suites::faults::Row;

const CALL: &str = "loading the module";

const NAME: &str = "xen_gntdev_rust";
const FILE: &str = "/lib/modules/xen_gntdev_rust.ko";

/// Traces of the module in the file system.
const TRACES: [&str; 5] = [
    "/sys/module/xen_gntdev_rust",
    "/sys/devices/faux/xen-gntdev-memory",
    "/sys/devices/faux/xen-gntdev-peer",
    "/sys/class/misc/xen!gntdev",
    "/sys/kernel/debug/xen/gntdev",
];

fn main() -> ExitCode {
    let case = Case {
        name: "the module fails to load at each point, and is loaded at the next attempt".into(),
        limit: Duration::from_secs(600),
        expected_failure: None,
        body: Box::new(load),
    };
    ktap::run("gntdev-load-faults", vec![case], || Ok(()))
}

/// The driver works without its file in debugfs, so that some failures have no effect. The kernel
/// registers a device also if it cannot make its node in /dev; not each run reaches that point.
fn load() -> Verdict {
    let expected = [Failure::NO_MEMORY, Failure::NO_DEVICE];
    let allowed = [expected[0], expected[1], Failure::NO_ENTRY];
    let load = || kernel_module::load(Path::new(FILE));
    for trace in TRACES {
        assert!(Path::new(trace).exists(), "there is no {trace}");
    }
    kernel_module::unload(NAME)?;
    let injection = FaultInjection::of_any_module()?;
    let mut row = Row::default();
    for _ in 0..2 {
        let points = walk_once(|point| {
            let (result, injected) = injection.fail(point, load)?;
            let is_loaded = result.is_ok();
            let failure = result.and_then(|()| Gntdev::open()).err().map(Failure::of);
            if injected {
                row.add(CALL, point, &allowed, failure);
            }
            if let Some(failure) = failure {
                let place = format!("point {point}: {failure}");
                assert!(injected, "{place} without an injected failure");
                if is_loaded {
                    kernel_module::unload(NAME)?;
                }
                assert_gone(&place);
                load()?;
                Gntdev::open()?;
            }
            kernel_module::unload(NAME)?;
            assert_gone(&format!("point {point}, unloaded"));
            Ok(injected)
        })?;
        row.points.push(points);
    }
    load()?;
    row.end(CALL, &expected);
    Ok(())
}

fn assert_gone(place: &str) {
    for trace in TRACES {
        assert!(!Path::new(trace).exists(), "{place}: {trace} is there");
    }
}
