// SPDX-License-Identifier: GPL-2.0

//! Attempts to map pages that this domain granted to itself.

use std::io;

use guest_test::hypercall::DOMID_SELF;
use guest_test::pattern::Pattern;
use xen_grants::grant_dma_buf::Backing;
use xen_grants::grant_share::Access;
use xen_grants::grant_share::GrantShare;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;

use crate::granter::grants_of;

/// Number of pages that are granted.
const PAGES: usize = 3;

/// Results of all attempts: their error numbers, 0 for success, each once and in ascending order.
///
/// # Errors
///
/// That of granting the pages, and an error if their contents differ afterwards.
pub fn errors(domid: u32) -> io::Result<Vec<i32>> {
    let pages = GrantShare::open()?.share(domid, PAGES, Access::ReadWrite)?;
    pages.fill(242);
    let table = GrantTable::open()?;
    let mut errors = Vec::new();
    for domid in [domid, DOMID_SELF.into()] {
        let grants = grants_of(domid, pages.references());
        for protection in [Protection::Read, Protection::ReadWrite] {
            errors.push(number(table.map_all(&grants, protection)));
        }
        for backing in [Backing::Ordinary, Backing::WriteCombine, Backing::Coherent] {
            errors.push(number(table.export(domid, pages.references(), backing)));
        }
    }
    if let Some(at) = pages.first_difference(242) {
        return Err(io::Error::other(format!("byte {at} of the pages changed")));
    }
    pages.fill(243);
    if let Some(at) = pages.first_difference(243) {
        return Err(io::Error::other(format!("byte {at} of the pages is lost")));
    }
    errors.sort_unstable();
    errors.dedup();
    Ok(errors)
}

fn number<T>(result: xen_grants::Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}
