// SPDX-License-Identifier: GPL-2.0

//! Shares a memfd of a domU with dom0: without gntalloc, without a copy.
//!
//! `share-memfd grant` runs in the domU, `share-memfd read DOMID` in dom0, in
//! any order. dom0 prints what it reads in the dma-buf, has the domU change it,
//! and prints what is there then, in the same mapping.

#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use dmabuf::grant_table::GrantTable;
use dmabuf::handover::Handover;
use dmabuf::mapping::Mapping;
use dmabuf::memfd::Memory;
use dmabuf::DOM0;
use dmabuf::PAGE_SIZE;

const NAME: &str = "share-memfd";
const PAGES: usize = 4;
/// The words that the two sides leave each other, in their order.
const SEEN: &str = "seen";
const CHANGED: &str = "changed";
/// How long the granter waits for somebody to come, and the other side for an
/// answer.
const GRANTER_PATIENCE: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take until nobody uses a closed dma-buf any more.
const RELEASE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["grant"] => grant(),
        ["read", domid] => read(domid),
        _ => Err("usage: share-memfd grant | share-memfd read DOMID".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("share-memfd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn grant() -> Result<(), Box<dyn Error>> {
    let handover = Handover::of_granter(NAME)?;
    let domid = handover.own_domid()?;
    let memory = Memory::new(PAGES)?;
    for page in 0..PAGES {
        let text = format!("page {page} of a memfd of domain {domid}");
        write_text(&memory, page, &text);
    }

    let table = GrantTable::open()?;
    let import = table.import(DOM0, memory.buffer())?;
    println!("share-memfd: granted references {:?}", import.references());
    handover.offer(import.references())?;

    handover.wait_for(SEEN, GRANTER_PATIENCE)?;
    write_text(&memory, 0, "the same page, after the domU has changed it");
    handover.tell(CHANGED, "1")?;

    handover.wait_until_done(GRANTER_PATIENCE)?;
    import.release()?;
    println!("share-memfd: dom0 has let go of all pages, the grants have ended");
    handover.tell_released()?;
    Ok(())
}

fn read(domid: &str) -> Result<(), Box<dyn Error>> {
    let domid = domid.parse()?;
    let handover = Handover::with_granter(NAME, domid)?;
    let references = handover.take_offer(PATIENCE)?;

    let table = GrantTable::open()?;
    let buffer = table.export(domid, &references)?;
    let mapping = buffer.map()?;
    let text = |page| buffer.reading(|| read_text(&mapping, page));
    for (page, reference) in references.iter().enumerate() {
        println!("grant {reference}: {}", text(page)?);
    }

    handover.tell(SEEN, "1")?;
    handover.wait_for(CHANGED, PATIENCE)?;
    println!("grant {}: {}", references[0], text(0)?);

    // The pages are the domU's again when nobody uses the dma-buf any more,
    // which is later than when it is closed here.
    drop(mapping);
    table.wait_released(buffer.close(), RELEASE)?;
    handover.finish(PATIENCE)?;
    Ok(())
}

/// Writes `text` into a page, with a zero behind it.
fn write_text(memory: &Mapping, page: usize, text: &str) {
    memory.write(page * PAGE_SIZE, text.as_bytes());
    memory.write(page * PAGE_SIZE + text.len(), &[0]);
}

/// The text in a page, up to the first zero. Another domain wrote it, so
/// nothing is taken for granted: control characters are left out.
fn read_text(mapping: &Mapping, page: usize) -> String {
    let bytes = mapping.read(page * PAGE_SIZE, PAGE_SIZE);
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text)
        .chars()
        .filter(|letter| !letter.is_control())
        .collect()
}
