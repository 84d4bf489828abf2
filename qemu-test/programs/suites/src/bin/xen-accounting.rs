// SPDX-License-Identifier: GPL-2.0

//! Prints resources in use by the counters of the kernel and of Xen, a name and a number in each
//! line. With `keep FILE` it writes them to a file as well. With `compare FILE` it is a suite whose
//! rules compare them with those of the file.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use guest_test::accounting;
use guest_test::accounting::DRIVER;
use guest_test::accounting::PINNED_PAGES;
use guest_test::counters::Counters;
use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Verdict;
use guest_test::platform;
use guest_test::totals;
use suites::suite::skip_case;
use suites::wait::settle;
use suites::wait::PATIENCE;

const NAME: &str = "accounting";

/// Text and check of a rule, from the counters before.
type Rule = (&'static str, fn(&Counters) -> Verdict);

const RULES: [Rule; 2] = [
    (
        "the driver's totals are those before the suites",
        driver_totals,
    ),
    ("no page stays pinned", pinned_pages),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] => show(None),
        ["keep", file] => show(Some(file)),
        ["compare", file] => return compare(file),
        _ => Err(io::Error::other(
            "usage: xen-accounting [keep FILE | compare FILE]",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xen-accounting: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(file: Option<&str>) -> io::Result<()> {
    let counters = accounting::read()?.to_string();
    if let Some(file) = file {
        fs::write(file, &counters)?;
    }
    print!("{counters}");
    Ok(())
}

fn compare(file: &str) -> ExitCode {
    let read = || -> io::Result<_> {
        let before = Counters::parse(&fs::read_to_string(file)?).map_err(io::Error::other)?;
        Ok((before, accounting::read()?))
    };
    let (before, now) = &match read() {
        Ok(counters) => counters,
        Err(error) => {
            println!("Bail out! {NAME} cannot begin: {error}");
            return ExitCode::FAILURE;
        }
    };
    for (name, change) in now.changes_since(before) {
        println!("# {name} {change:+}");
    }
    let cases = RULES
        .into_iter()
        .map(|(name, check)| Case {
            name: name.to_string(),
            limit: PATIENCE + Duration::from_secs(60),
            expected_failure: None,
            body: Box::new(move || check(before)),
        })
        .collect();
    ktap::run(NAME, cases, || Ok(()))
}

/// Waits for work that the driver does after a program has ended.
fn driver_totals(before: &Counters) -> Verdict {
    let before = before.of(DRIVER);
    if before.iter().next().is_none() {
        return skip_case("the C driver has no totals");
    }
    let now = settle(PATIENCE, totals::read, |now| {
        totals::leaks(now, &before).is_empty()
    })?;
    let left = totals::leaks(&now, &before);
    assert!(left.is_empty(), "left in the driver's totals: {left:?}");
    Ok(())
}

fn pinned_pages(before: &Counters) -> Verdict {
    let before = before.get(PINNED_PAGES).expect("the counter");
    let now = settle(PATIENCE, platform::pinned_pages, |now| *now == before)?;
    assert_eq!(now, before, "pages are pinned");
    Ok(())
}
