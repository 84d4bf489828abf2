// SPDX-License-Identifier: GPL-2.0

//! Limits of waits.
//!
//! They end what would hang for ever and measure nothing: the clocks of an emulated machine go on
//! while the host has other things to do, so a wait of a second can take a minute. Each limit is
//! more than ten times of what a quiet host takes.

use std::time::Duration;

/// Limit of a wait for one thing: the end of a program, an answer of a domU, the next line of a
/// console, the end of a domain.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Limit of a whole rule. The waits in it have their own, so it ends only what never waits.
pub const RULE_LIMIT: Duration = Duration::from_secs(3600);
