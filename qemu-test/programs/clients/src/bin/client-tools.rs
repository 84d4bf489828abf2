// SPDX-License-Identifier: GPL-2.0

//! The test programs that come with Xen's toolstack.

#![forbid(unsafe_code)]

use std::process::Command;
use std::process::ExitCode;

use clients::command;
use clients::limit::PATIENCE;
use clients::suite;
use clients::suite::Rule;
use guest_test::ktap::Verdict;

fn main() -> ExitCode {
    let rules = ["test-resource", "test-xenstore"]
        .map(|program| Rule::new(format!("{program} passes"), move || passes(program)));
    suite::run("client-tools", &rules)
}

fn passes(program: &str) -> Verdict {
    let ended = command::run(&mut Command::new(program), PATIENCE)?;
    assert_eq!(ended.status, 0, "{program} printed:\n{}", ended.output);
    Ok(())
}
