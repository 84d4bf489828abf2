// SPDX-License-Identifier: GPL-2.0

//! A domU and dom0 that write to each other through pages that the domU
//! granted: `share-pages` runs in the domU, `read-pages` in dom0. They meet in
//! xenstore, below the domU's own `data/share-pages`.

#![forbid(unsafe_code)]

use xen_grants::bytes::Bytes;
use xen_grants::PAGE_SIZE;

/// The domU's grant references, separated by spaces, once its letter is there.
pub const REFERENCES: &str = "data/share-pages/references";
/// Written by dom0 once its answer is in the first page.
pub const ANSWERED: &str = "data/share-pages/answered";
/// The domU's word on the answer.
pub const RECEIVED: &str = "data/share-pages/received";

/// Writes `text` into a page, with a zero behind it.
pub fn write_text(pages: &Bytes, page: usize, text: &str) {
    let text = &text.as_bytes()[..text.len().min(PAGE_SIZE - 1)];
    pages.write_all(page * PAGE_SIZE, text);
    pages.write(page * PAGE_SIZE + text.len(), 0);
}

/// The text in a page, up to the first zero. The other domain wrote it, so
/// nothing is taken for granted: control characters are left out.
pub fn read_text(pages: &Bytes, page: usize) -> String {
    let bytes = pages.read_vec(page * PAGE_SIZE, PAGE_SIZE);
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text)
        .chars()
        .filter(|letter| !letter.is_control())
        .collect()
}
