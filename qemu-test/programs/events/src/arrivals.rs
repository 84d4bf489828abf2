// SPDX-License-Identifier: GPL-2.0

//! The end of a wait for events.

use std::time::Duration;
use std::time::Instant;

/// The silence after which an event that is still awaited counts as lost. Longer than an event is
/// on its way, whatever else the host does.
pub(crate) const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// The time since an event arrived, at either end.
pub(crate) struct Arrivals {
    count: u64,
    last: Instant,
}

impl Arrivals {
    pub(crate) fn new(count: u64) -> Self {
        Self {
            count,
            last: Instant::now(),
        }
    }

    /// Takes the number of events that have arrived, and says whether more may come: that the last
    /// one is not longer ago than [`ARRIVAL_LIMIT`].
    pub(crate) fn go_on(&mut self, count: u64) -> bool {
        if count != self.count {
            *self = Self::new(count);
        }
        self.last.elapsed() < ARRIVAL_LIMIT
    }
}
