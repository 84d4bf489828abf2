// SPDX-License-Identifier: GPL-2.0

//! The module can be unloaded when nobody uses it, and not before. Runs in a PV domU, where no
//! daemon holds the device and a domain may map its own grants.

#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clients::limit::PATIENCE;
use clients::limit::RULE_LIMIT;
use guest_test::errno::EAGAIN;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::memory::COHERENT;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::kernel_module;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::pattern::Pattern;
use guest_test::platform::Driver;
use suites::granter::Access;
use suites::granter::Granter;
use suites::local::LocalGranter;
use suites::suite::skip_case;
use suites::wait::until;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::memory_file::MemoryFile;
use xen_grants::xenstore::Xenstore;
use xen_grants::PAGE_SIZE;

type Rule = (&'static str, fn(Driver) -> Verdict);

const RULES: &[Rule] = &[
    (
        "a module that nobody uses is unloaded and loaded again",
        unused,
    ),
    ("a module is not unloaded under an open file", open_file),
    ("a module is not unloaded under a mapping", live_mapping),
    (
        "a module is not unloaded while an unmap is pending",
        pending_unmap,
    ),
    ("a module survives 20 rounds of use and unloading", rounds),
    ("a module is not unloaded under a dma-buf", live_buffer),
    (
        "a module survives rounds of dma-bufs and unloading",
        rounds_of_buffers,
    ),
];

fn main() -> ExitCode {
    let driver = match Driver::current() {
        Ok(driver) => driver,
        Err(error) => {
            println!("Bail out! module-unload cannot begin: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cases = RULES
        .iter()
        .map(|(name, check)| Case {
            name: (*name).to_string(),
            limit: RULE_LIMIT,
            expected_failure: None,
            body: Box::new(move || check(driver)),
        })
        .collect();
    ktap::run("module-unload", cases, || {
        // The next case needs the module, whatever this one did.
        let _ = kernel_module::load(&file_of(driver));
        Ok(())
    })
}

fn file_of(driver: Driver) -> PathBuf {
    PathBuf::from(match driver {
        Driver::C => "/lib/modules/xen-gntdev.ko",
        Driver::Rust => "/lib/modules/xen_gntdev_rust.ko",
    })
}

fn unload(driver: Driver) -> io::Result<()> {
    kernel_module::unload(match driver {
        Driver::C => "xen_gntdev",
        Driver::Rust => "xen_gntdev_rust",
    })
}

fn assert_in_use(driver: Driver) {
    let error = unload(driver).expect_err("the module was unloaded");
    assert_eq!(error.raw_os_error(), Some(EAGAIN), "{error}");
}

/// A reference may go in the background.
fn assert_unloads(driver: Driver) -> Verdict {
    let unloaded = until(PATIENCE, || Ok(unload(driver).ok()))?;
    assert!(unloaded.is_some(), "the module cannot be unloaded");
    kernel_module::load(&file_of(driver))?;
    Ok(())
}

fn own_domid() -> io::Result<u32> {
    Xenstore::open()?
        .read("domid")?
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("xenstore does not tell this domain's id"))
}

/// A granter and a mapping of one page of it; the file is closed already.
fn mapped() -> io::Result<(LocalGranter, Mapping)> {
    let domid = own_domid()?;
    let mut granter = LocalGranter::new(domid, domid)?;
    let share = granter.share(1, Access::ReadWrite)?;
    granter.fill(&share, 1)?;
    let device = Gntdev::open()?;
    let index = device.insert(&share.grants)?;
    let mapping = device.map(index, 1, Protection::ReadWrite)?;
    assert_eq!(mapping.first_difference(1), None);
    Ok((granter, mapping))
}

fn unused(driver: Driver) -> Verdict {
    assert_unloads(driver)
}

fn open_file(driver: Driver) -> Verdict {
    let device = Gntdev::open()?;
    assert_in_use(driver);
    drop(device);
    assert_unloads(driver)
}

fn live_mapping(driver: Driver) -> Verdict {
    let (_granter, mapping) = mapped()?;
    assert_in_use(driver);
    mapping.unmap()?;
    assert_unloads(driver)
}

fn pending_unmap(driver: Driver) -> Verdict {
    if driver == Driver::C {
        return skip_case("the C module can be unloaded then, and its work runs in freed memory");
    }
    let (_granter, mapping) = mapped()?;
    let mut pipe = Pipe::new()?;
    assert_eq!(pipe.take_pages(&mapping)?, PAGE_SIZE);
    mapping.unmap()?;
    assert_in_use(driver);
    pipe.read(PAGE_SIZE)?;
    assert_unloads(driver)
}

fn rounds(driver: Driver) -> Verdict {
    for _ in 0..20 {
        let (_granter, mapping) = mapped()?;
        mapping.unmap()?;
        assert_unloads(driver)?;
    }
    Ok(())
}

/// A granter and a dma-buf of two pages of it; the file is closed already.
fn exported(flags: u32) -> io::Result<(LocalGranter, DmaBuf)> {
    let domid = own_domid()?;
    let mut granter = LocalGranter::new(domid, domid)?;
    let share = granter.share(2, Access::ReadWrite)?;
    granter.fill(&share, 2)?;
    let device = Gntdev::open()?;
    let buffer = device.export(flags, domid, &share.references())?;
    Ok((granter, buffer))
}

const NO_EXPORT: &str = "the C driver makes no dma-bufs in a paravirtual domain";

fn live_buffer(driver: Driver) -> Verdict {
    if driver == Driver::C {
        return skip_case(NO_EXPORT);
    }
    for flags in [0, WRITE_COMBINE, COHERENT] {
        let (_granter, buffer) = exported(flags)?;
        assert_in_use(driver);
        let mapping = buffer.map(2)?;
        drop(buffer);
        assert_in_use(driver);
        assert_eq!(mapping.first_difference(2), None);
        mapping.unmap()?;
        assert_unloads(driver)?;
    }
    Ok(())
}

fn rounds_of_buffers(driver: Driver) -> Verdict {
    if driver == Driver::C {
        return skip_case(NO_EXPORT);
    }
    let domid = own_domid()?;
    for round in 0..10 {
        let (mut granter, buffer) = exported([0, WRITE_COMBINE, COHERENT][round % 3])?;
        drop(buffer);
        // A page that is granted, with its grant ended by the close of the file.
        let contents = MemoryFile::new(1)?;
        let buffer = contents.dma_buf()?;
        let device = Gntdev::open()?;
        let references = device.import(&buffer, domid, 1)?;
        let peer = granter.map(&references, Access::ReadOnly)?;
        granter.unshare(peer)?;
        drop(device);
        assert_unloads(driver)?;
    }
    Ok(())
}
