// SPDX-License-Identifier: GPL-2.0

//! A memfd of a domU, shared with dom0 without gntalloc and without a copy.
//!
//! `share-memfd grant` runs in the domU, `share-memfd read DOMID` in dom0, in any order. dom0
//! prints the text that it reads in the dma-buf, has the domU change it, and prints the new text,
//! which it reads in the same mapping.

#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use xen_grants::bytes::Bytes;
use xen_grants::dma_buf::CpuAccess;
use xen_grants::grant_dma_buf::Backing;
use xen_grants::grant_table::GrantTable;
use xen_grants::handover::Handover;
use xen_grants::mapping::Protection;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

const NAME: &str = "share-memfd";
const PAGES: usize = 4;
/// Values that the two sides leave each other, in their order.
const SEEN: &str = "seen";
const CHANGED: &str = "changed";
/// Time that the granter waits for the other side to come.
const GRANTER_PATIENCE: Duration = Duration::from_secs(300);
/// Time that the other side waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time that the release of a closed dma-buf may take.
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
    let file = MemoryFile::new(PAGES)?;
    let memory = file.map()?;
    for page in 0..PAGES {
        let text = format!("page {page} of a memfd of domain {domid}");
        write_text(&memory, page, &text);
    }

    let table = GrantTable::open()?;
    let buffer = file.dma_buf()?;
    let import = table.import(DOM0, &buffer)?;
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
    let export = table.export(domid, &references, Backing::Ordinary)?;
    let mapping = export.map_part(0, references.len(), Protection::Read)?;
    let text = |page| export.access(CpuAccess::Read, || read_text(&mapping, page));
    for (page, reference) in references.iter().enumerate() {
        println!("grant {reference}: {}", text(page)?);
    }

    handover.tell(SEEN, "1")?;
    handover.wait_for(CHANGED, PATIENCE)?;
    println!("grant {}: {}", references[0], text(0)?);

    // The pages are the domU's again when nobody uses the dma-buf any more, which is later than
    // when it is closed here.
    drop(mapping);
    export.close().wait_released(RELEASE)?;
    handover.finish(PATIENCE)?;
    Ok(())
}

/// Writes `text` into a page, with a zero behind it.
fn write_text(memory: &Bytes, page: usize, text: &str) {
    memory.write_all(page * PAGE_SIZE, text.as_bytes());
    memory.write(page * PAGE_SIZE + text.len(), 0);
}

/// The text in a page, up to the first zero. Another domain has written it, and may have written
/// anything: control characters are left out.
fn read_text(mapping: &Bytes, page: usize) -> String {
    let bytes = mapping.read_vec(page * PAGE_SIZE, PAGE_SIZE);
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text)
        .chars()
        .filter(|letter| !letter.is_control())
        .collect()
}
