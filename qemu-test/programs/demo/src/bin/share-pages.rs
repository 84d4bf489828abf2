// SPDX-License-Identifier: GPL-2.0

//! In a domU: grants pages with a letter in them to dom0 and waits for its
//! answer in the same memory.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::time::Duration;

use demo::read_text;
use demo::write_text;
use xen_grants::grant_share::Access;
use xen_grants::grant_share::GrantShare;
use xen_grants::xenstore::Xenstore;
use xen_grants::DOM0;

const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<(), Box<dyn Error>> {
    let store = Xenstore::open()?;
    let domid = store.read("domid")?.ok_or("this domain has no id")?;
    let version = fs::read_to_string("/proc/version")?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    let kind = fs::read_to_string("/sys/hypervisor/guest_type")?;
    let lines = [
        format!("Greetings from domain {domid}, a {} guest.", kind.trim()),
        format!("My kernel is {}.", first_words(&version, 3)),
        format!("I have been up for {} seconds.", first_words(&uptime, 1)),
    ];

    let pages = GrantShare::open()?.share(DOM0, lines.len(), Access::ReadWrite)?;
    for (page, line) in lines.iter().enumerate() {
        write_text(&pages, page, line);
    }
    let references: Vec<String> = pages.references().iter().map(u32::to_string).collect();
    println!("share-pages: granted references {}", references.join(" "));
    store.write(demo::REFERENCES, &references.join(" "))?;

    store.wait_for(demo::ANSWERED, PATIENCE, |_| Some(()))?;
    let answer = read_text(&pages, 0);
    println!("share-pages: dom0 answered: {answer}");
    store.write(demo::RECEIVED, &format!("domain {domid} read: {answer}"))?;
    Ok(())
}

fn first_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().take(count).collect();
    words.join(" ")
}
