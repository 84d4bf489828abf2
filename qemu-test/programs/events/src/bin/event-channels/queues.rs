// SPDX-License-Identifier: GPL-2.0

//! The queues of both domains as the hypervisor and the kernels see them.

use std::io;

use events::agreement;
use events::agreement::Words;
use events::debug_key;
use events::link::Link;
use events::queues_file::QueuesFile;
use events::tally;
use guest_test::ktap::Verdict;
use xen_grants::DOM0;

use crate::rust_only;
use crate::SEED;

/// Number of lanes: so many that the event array has several pages in both domains.
const MANY: usize = 2200;

/// The files of queues of both domains say the same as Xen does.
pub fn agree() -> Verdict {
    rust_only()?;
    let link = Link::to_domu(MANY)?;
    link.walk(SEED)?;
    let found = agreement::settled(|| look(&link))?;
    assert!(found.is_empty(), "{}", found.join("\n"));
    link.check(tally::Rule::Exact)?;
    Ok(())
}

/// Differences between the kernels' files of queues and Xen's answer, in words.
fn look(link: &Link) -> io::Result<Vec<String>> {
    let read = || -> io::Result<_> {
        Ok([
            QueuesFile::of_this_domain()?,
            QueuesFile::of_domain(link.agent())?,
        ])
    };
    let before = read()?;
    let domains = debug_key::press()?;
    let after = read()?;
    let mut found = Vec::new();
    for ((domid, words), (before, after)) in [(DOM0, Words::Told), (link.domid(), Words::LeftOut)]
        .into_iter()
        .zip(before.into_iter().zip(after))
    {
        assert!(before.pages > 1, "{} pages in domain {domid}", before.pages);
        let ports = domains.get(&domid).cloned().unwrap_or_default();
        assert!(ports.len() >= MANY, "{} ports of {domid}", ports.len());
        let differences = agreement::differences(&before, &ports, &after, words);
        found.extend(
            differences
                .iter()
                .map(|one| format!("domain {domid}: {one}")),
        );
    }
    Ok(found)
}
