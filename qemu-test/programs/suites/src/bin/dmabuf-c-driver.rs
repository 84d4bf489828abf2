// SPDX-License-Identifier: GPL-2.0

//! Results of dma-buf requests to Linux's C driver, as a distribution builds it without dma-bufs.
//! It replaces the loaded driver while this runs, so no program may have the device open.

#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use guest_test::errno::ENOTTY;
use guest_test::gntdev::Gntdev;
use guest_test::kernel_module;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Verdict;
use suites::world::assert_error;
use xen_grants::grant_dma_buf::Backing;
use xen_grants::grant_table::GrantTable;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;

const NAME: &str = "dmabuf-c-driver";
const OURS: [&str; 2] = ["xen_gntdev_rust", "/lib/modules/xen_gntdev_rust.ko"];
const LINUX: [&str; 2] = ["xen_gntdev", "/lib/modules/xen-gntdev.ko"];

/// Text and check of a rule.
type Rule = (&'static str, fn() -> Verdict);

const RULES: [Rule; 4] = [
    ("the C driver answers ENOTTY to an export", || {
        let result = GrantTable::open()?
            .export(DOM0, &[1], Backing::Ordinary)
            .map(drop);
        assert_error(result, ENOTTY, "dmabuf_exp_from_refs");
        Ok(())
    }),
    ("the C driver answers ENOTTY to waiting for the end", || {
        let result = GrantTable::open()?
            .closed_export(3)
            .wait_released(Duration::ZERO);
        assert_error(result, ENOTTY, "dmabuf_exp_wait_released");
        Ok(())
    }),
    ("the C driver answers ENOTTY to an import", || {
        let buffer = MemoryFile::new(1)?.dma_buf()?;
        let result = GrantTable::open()?.import(DOM0, &buffer).map(drop);
        assert_error(result, ENOTTY, "dmabuf_imp_to_refs");
        Ok(())
    }),
    ("the C driver answers ENOTTY to the end of one", || {
        let result = Gntdev::open()?.release_import(3);
        assert_error(result, ENOTTY, "dmabuf_imp_release");
        Ok(())
    }),
];

fn main() -> ExitCode {
    if let Err(error) = exchange(OURS, LINUX) {
        println!("Bail out! the C driver cannot be loaded: {error}");
        return ExitCode::FAILURE;
    }
    let cases = RULES
        .into_iter()
        .map(|(name, check)| Case {
            name: name.to_string(),
            limit: Duration::from_secs(300),
            expected_failure: None,
            body: Box::new(check),
        })
        .collect();
    let status = ktap::run(NAME, cases, || Ok(()));
    match exchange(LINUX, OURS) {
        Ok(()) => status,
        Err(error) => {
            println!("Bail out! the driver cannot be loaded again: {error}");
            ExitCode::FAILURE
        }
    }
}

fn exchange(old: [&str; 2], new: [&str; 2]) -> io::Result<()> {
    kernel_module::unload(old[0])?;
    kernel_module::load(Path::new(new[1]))
}
