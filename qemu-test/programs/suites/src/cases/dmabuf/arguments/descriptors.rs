// SPDX-License-Identifier: GPL-2.0

//! Descriptors that a request leaves open.

use guest_test::ktap::Verdict;
use guest_test::process::open_files;

/// Fails the case if `body` leaves a descriptor open.
pub(super) fn assert_no_descriptor(body: impl FnOnce() -> Verdict) -> Verdict {
    let before = open_files()?;
    body()?;
    assert_eq!(open_files()?, before, "open files");
    Ok(())
}
