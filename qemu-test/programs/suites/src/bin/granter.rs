// SPDX-License-Identifier: GPL-2.0

//! Runs in a domU: grants its pages to dom0, and maps those of dom0, as dom0's suites ask for.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use guest_test::pattern::Pattern;
use suites::granter::Granter;
use suites::local::LocalGranter;
use suites::protocol;
use suites::protocol::Command;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

/// Length of the longest result, in bytes: a xenstore value holds it and the number before it.
const LONGEST_RESULT: usize = 4000;

/// Time limit for the next request; the domU ends before.
const LIFE: Duration = Duration::from_secs(24 * 3600);

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("granter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let store = Xenstore::open()?;
    let domid = store
        .read("domid")?
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("xenstore does not tell this domain's id"))?;
    let mut granter = LocalGranter::new(domid, DOM0)?;
    println!(
        "granter: domain {domid} waits for requests at {}",
        protocol::REQUEST
    );

    let mut done = 0;
    loop {
        let (number, request) = store.wait_for(protocol::REQUEST, LIFE, |line| {
            match protocol::numbered(line) {
                Some((number, text)) if number > done => Some((number, text.to_string())),
                _ => None,
            }
        })?;
        let response = match execute(&mut granter, &request) {
            Ok(result) if result.len() > LONGEST_RESULT => {
                format!("{number} error the answer has {} bytes", result.len())
            }
            Ok(result) => format!("{number} ok {result}"),
            Err(error) => format!("{number} error {error}"),
        };
        store.write(protocol::RESPONSE, &response)?;
        done = number;
    }
}

fn execute(granter: &mut LocalGranter, request: &str) -> io::Result<String> {
    let command = request.parse().map_err(io::Error::other)?;
    Ok(match command {
        Command::Reset => {
            granter.end_all();
            String::new()
        }
        Command::Share(pages, access) => {
            let share = granter.share(pages, access)?;
            format!("{} {}", share.id, protocol::ranges(&share.references()))
        }
        Command::ShareFile(pages) => {
            let share = granter.share_file(pages)?;
            format!("{} {}", share.id, protocol::ranges(&share.references()))
        }
        Command::Map(references, access) => granter.map(&references, access)?.id.to_string(),
        Command::Export(references, flags) => granter.export(&references, flags)?.id.to_string(),
        Command::Fill(id, seed) => {
            granter.bytes(id)?.fill(seed);
            String::new()
        }
        Command::Compare(id, seed) => match granter.bytes(id)?.first_difference(seed) {
            None => "same".into(),
            Some(at) => at.to_string(),
        },
        Command::Read(id, at) => granter.bytes(id)?.read(at).to_string(),
        Command::Write(id, at, value) => {
            granter.bytes(id)?.write(at, value);
            String::new()
        }
        Command::End(id) => {
            granter.end(id)?;
            String::new()
        }
        Command::MapOwn => {
            let errors = granter.map_own()?;
            errors
                .iter()
                .map(i32::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        }
        Command::FreeMemory => granter.free_memory()?.to_string(),
    })
}
