// SPDX-License-Identifier: GPL-2.0

//! Heads and links that led out of their queue. The hypervisor writes none, so the kernel has found
//! none, or something else has overwritten its pages.

use std::io;

use clients::agent::Agent;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;

use crate::ops::Ops;
use crate::queues_file::QueuesFile;

/// Name of the rule that [`none_in_both_domains`] checks.
pub const NONE: &str = "no queue of either domain led out of itself";

/// Fails if a kernel has found such a head or link since it was booted: dom0's, or that of the
/// domain with this agent.
pub fn none_in_both_domains(agent: &Agent) -> Verdict {
    if Ops::asked()? != Ops::Rust {
        return Err(Stop::Skip(
            "Linux's own port operations do not look for it".into(),
        ));
    }
    none(&QueuesFile::of_this_domain()?, "dom0")?;
    none(&QueuesFile::of_domain(agent)?, "the domU")?;
    Ok(())
}

/// Fails if the `file` of the kernel of `domain` counts any.
pub fn none(file: &QueuesFile, domain: &str) -> io::Result<()> {
    match file.astray() {
        0 => Ok(()),
        count => Err(io::Error::other(format!(
            "{count} heads and links of {domain} led out of their queue"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_enough() {
        let file = |astray| {
            let text = format!(
                "ops rust\npages 1 ports 1024\ncpu 0 online 1 block 1 drained 0 astray 0\n\
                 cpu 1 online 1 block 1 drained 3 astray {astray}\n"
            );
            QueuesFile::parse(&text).unwrap()
        };
        assert!(none(&file(0), "dom0").is_ok());
        let error = none(&file(1), "dom0").unwrap_err().to_string();
        assert_eq!(error, "1 heads and links of dom0 led out of their queue");
    }
}
