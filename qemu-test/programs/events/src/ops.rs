// SPDX-License-Identifier: GPL-2.0

//! The port operations that the kernels were asked to run, and those that they say they run.

use std::env;
use std::io;

use crate::queues_file::QueuesFile;

/// The port operations of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ops {
    /// This project's, for the FIFO ABI.
    Rust,
    /// Linux's own for the FIFO ABI.
    C,
    /// Linux's own for the 2-level ABI.
    TwoLevel,
}

impl Ops {
    /// Those that the harness has asked both kernels for.
    pub fn asked() -> io::Result<Self> {
        match env::var("EVENTS").as_deref() {
            Ok("rust") => Ok(Self::Rust),
            Ok("c") => Ok(Self::C),
            Ok("2-level") => Ok(Self::TwoLevel),
            other => Err(io::Error::other(format!("$EVENTS is {other:?}"))),
        }
    }

    /// Fails if a kernel's `log` or its `file` of queues, where it has one, tell of other
    /// operations.
    pub fn check(self, log: &str, file: Option<&str>) -> Result<(), String> {
        let (abi, other) = match self {
            Self::Rust | Self::C => (FIFO, TWO_LEVEL),
            Self::TwoLevel => (TWO_LEVEL, FIFO),
        };
        if !log.contains(abi) || log.contains(other) {
            return Err(format!("the log does not say {abi:?} alone"));
        }
        let ops = file
            .map(QueuesFile::parse)
            .transpose()?
            .map(|file| file.ops);
        match (self, ops.as_deref()) {
            (Self::Rust, Some("rust"))
            | (Self::C, Some("c") | None)
            | (Self::TwoLevel, Some("2l") | None) => Ok(()),
            (_, Some(ops)) => Err(format!("the file of queues says ops {ops}")),
            (_, None) => Err("there is no file of queues".into()),
        }
    }
}

/// Words of a kernel's log about its ABI.
const FIFO: &str = "Using FIFO-based ABI";
const TWO_LEVEL: &str = "Using 2-level ABI";

#[cfg(test)]
mod tests {
    use super::*;

    const FIFO_LOG: &str = "[ 0.1] xen:events: Using FIFO-based ABI\n";
    const TWO_LEVEL_LOG: &str = "[ 0.1] xen:events: Using 2-level ABI\n";

    #[test]
    fn what_was_asked_for_runs() {
        let rust = Some("ops rust\npages 1 ports 1024\n");
        let c = Some("ops c\n");
        assert_eq!(Ops::Rust.check(FIFO_LOG, rust), Ok(()));
        assert_eq!(Ops::C.check(FIFO_LOG, c), Ok(()));
        assert_eq!(Ops::C.check(FIFO_LOG, None), Ok(()));
        assert_eq!(Ops::TwoLevel.check(TWO_LEVEL_LOG, Some("ops 2l\n")), Ok(()));
        assert_eq!(Ops::TwoLevel.check(TWO_LEVEL_LOG, None), Ok(()));
    }

    #[test]
    fn what_was_not_asked_for_is_noticed() {
        let rust = Some("ops rust\npages 1 ports 1024\n");
        let c = Some("ops c\n");
        assert!(Ops::Rust.check(FIFO_LOG, c).is_err());
        assert!(Ops::Rust.check(FIFO_LOG, None).is_err());
        assert!(Ops::Rust.check(TWO_LEVEL_LOG, rust).is_err());
        assert!(Ops::C.check(FIFO_LOG, rust).is_err());
        assert!(Ops::C.check("", None).is_err());
        assert!(Ops::TwoLevel.check(FIFO_LOG, None).is_err());
        assert!(Ops::TwoLevel.check(TWO_LEVEL_LOG, c).is_err());
        assert!(Ops::TwoLevel.check(TWO_LEVEL_LOG, rust).is_err());
    }
}
