// SPDX-License-Identifier: GPL-2.0

//! In dom0: maps the pages that `share-pages` granted in domain `$DOMU`, prints
//! what is in them and writes an answer there.

#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::time::Duration;

use demo::read_text;
use demo::write_text;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::xenstore::Xenstore;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let domid = env::var("DOMU").map_err(|_| "DOMU names no domain: is there a domU?")?;
    let store = Xenstore::open()?;
    let node = |path| format!("/local/domain/{domid}/{path}");
    let references: Vec<u32> = store.wait_for(&node(demo::REFERENCES), PATIENCE, |text| {
        text.split(' ').map(|word| word.parse().ok()).collect()
    })?;

    let table = GrantTable::open()?;
    let pages = table.map_domain(domid.parse()?, &references, Protection::ReadWrite)?;
    for (page, reference) in references.iter().enumerate() {
        println!("grant {reference}: {}", read_text(&pages, page));
    }

    write_text(&pages, 0, "dom0 has read your letter.");
    store.write(&node(demo::ANSWERED), "1")?;
    let word = store.wait_for(&node(demo::RECEIVED), PATIENCE, |text| {
        Some(text.to_string())
    })?;
    println!("{word}");
    pages.unmap()?;
    Ok(())
}
