// SPDX-License-Identifier: GPL-2.0

//! Results of libxengnttab's dma-buf functions with Linux's C driver, as a distribution builds it
//! without dma-bufs. It replaces the loaded driver while this runs, so no program may have the
//! device open.

#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use suites::granter::DOM0;
use suites::world::assert_error;
use xen_guest::errno::ENOTTY;
use xen_guest::grant_table::GrantTable;
use xen_guest::kernel_module;
use xen_guest::ktap;
use xen_guest::ktap::Case;
use xen_guest::ktap::Verdict;
use xen_guest::memory_file::MemoryFile;

const NAME: &str = "dmabuf-c-driver";
const OURS: [&str; 2] = ["xen_gntdev_rust", "/lib/modules/xen_gntdev_rust.ko"];
const LINUX: [&str; 2] = ["xen_gntdev", "/lib/modules/xen-gntdev.ko"];

/// Text and check of a rule.
type Rule = (&'static str, fn() -> Verdict);

const RULES: [Rule; 4] = [
    ("the C driver answers ENOTTY to an export", || {
        let result = GrantTable::open()?.export(0, DOM0, &[1]);
        assert_error(result.map(drop), ENOTTY, "dmabuf_exp_from_refs");
        Ok(())
    }),
    ("the C driver answers ENOTTY to waiting for the end", || {
        let result = GrantTable::open()?.wait_released(3, 0);
        assert_error(result, ENOTTY, "dmabuf_exp_wait_released");
        Ok(())
    }),
    ("the C driver answers ENOTTY to an import", || {
        let buffer = MemoryFile::new(1)?.buffer()?;
        let result = GrantTable::open()?.import(&buffer, DOM0, 1);
        assert_error(result, ENOTTY, "dmabuf_imp_to_refs");
        Ok(())
    }),
    ("the C driver answers ENOTTY to the end of one", || {
        let result = GrantTable::open()?.release_import(3);
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
