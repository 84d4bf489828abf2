// SPDX-License-Identifier: GPL-2.0

//! Running a list of cases, and looking for what they leave behind.

use std::env;
use std::process::ExitCode;

use guest_test::ktap;
use guest_test::ktap::Case;
use guest_test::ktap::Verdict;
use guest_test::platform::Driver;
use suites::suite::runs_beside_others;
use suites::suite::LeakCheck;

use crate::domain;
use crate::limit::RULE_LIMIT;

/// Rule that a client must be able to keep.
pub struct Rule {
    name: String,
    check: Box<dyn Fn() -> Verdict>,
    c_driver_fails: Option<&'static str>,
    known_to_fail: Option<&'static str>,
}

impl Rule {
    /// A rule by its text and by the function that checks it.
    pub fn new(name: impl Into<String>, check: impl Fn() -> Verdict + 'static) -> Self {
        Self {
            name: name.into(),
            check: Box::new(check),
            c_driver_fails: None,
            known_to_fail: None,
        }
    }

    /// The client fails on Linux's C driver too.
    pub fn expect_c_differs(mut self, reason: &'static str) -> Self {
        self.c_driver_fails = Some(reason);
        self
    }

    /// It fails with what the kernel runs now, if there is a reason.
    pub fn expect_failure(mut self, reason: Option<&'static str>) -> Self {
        self.known_to_fail = reason;
        self
    }
}

/// Tries `rules`. After each, no domain of the suite may exist, no further grant may be mapped, and
/// the driver's totals may not have grown. A person may give a part of a rule's name as the
/// program's argument to try only those.
pub fn run(name: &str, rules: &[Rule]) -> ExitCode {
    run_those(name, rules, &env::args().nth(1).unwrap_or_default())
}

/// As [`run`], of those rules that have `wanted` in their names.
pub fn run_those(name: &str, rules: &[Rule], wanted: &str) -> ExitCode {
    let setting = || -> std::io::Result<_> {
        let driver = Driver::current()?;
        Ok((LeakCheck::new(driver)?, driver))
    };
    let (mut leaks, driver) = match setting() {
        Ok(setting) => setting,
        Err(error) => {
            println!("Bail out! {name} cannot begin: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cases = rules
        .iter()
        .filter(|rule| rule.name.contains(wanted))
        .map(|rule| Case {
            name: rule.name.clone(),
            limit: RULE_LIMIT,
            expected_failure: rule
                .c_driver_fails
                .filter(|_| driver == Driver::C)
                .or(rule.known_to_fail),
            body: Box::new(|| (rule.check)()),
        })
        .collect();
    ktap::run(name, cases, || {
        // A case that was killed because its time was up has cleaned up nothing. Beside others, the
        // domain may be that of another program.
        if !runs_beside_others() {
            domain::remove_leftover();
        }
        leaks.check()
    })
}
