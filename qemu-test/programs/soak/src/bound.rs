// SPDX-License-Identifier: GPL-2.0

//! By how much a figure may change between the start and the end, and why.

use std::fmt;

/// Bound of a figure's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It must be equal: the figure counts things that all have an owner, and all owners are gone.
    Equal,
    /// It may grow up to this: what it counts is never given back, or is given back late.
    Growth(i64),
    /// It may shrink up to this, for the same reason.
    Loss(i64),
    /// Any change is allowed: the figure counts what has happened, not what is in use.
    Any,
}

/// Bounds of figures by the ends of their names; the first that fits counts. All others must be
/// equal.
const BOUNDS: [(&str, Bound); 10] = [
    // Refusals are a part of the work.
    ("gntdev_refused_maps", Bound::Any),
    ("gntdev_refused_maps_full", Bound::Any),
    ("gntdev_refused_own_grants", Bound::Any),
    // Xen's tables never shrink while their domain lives. They grow to the most grants that were
    // in use at the same time, which depends on how the lanes meet.
    ("_grant_frames", Bound::Growth(8)),
    ("_maptrack_frames", Bound::Growth(16)),
    // The frames of these tables are Xen's memory, and so are the pages of its list of dom0's
    // event channels.
    ("xen_free", Bound::Loss(256)),
    // Kernel memory: slab caches keep free objects, a few pages for each size and each processor,
    // and the network stack, the processes' stacks and RCU give memory back late.
    ("slab_objects", Bound::Growth(8000)),
    ("slab_unreclaimable", Bound::Growth(2048)),
    ("vmalloc_used", Bound::Growth(512)),
    // All of the above, the lists of free pages that each processor keeps, and the memory that the
    // toolstack's daemons have not given back to the kernel.
    ("dom0_free", Bound::Loss(8192)),
];

/// Bound of the figure of this name.
pub fn of(name: &str) -> Bound {
    BOUNDS
        .iter()
        .find(|(end, _)| name.ends_with(end))
        .map_or(Bound::Equal, |(_, bound)| *bound)
}

impl Bound {
    /// True if the figure may change by this.
    pub fn allows(self, change: i64) -> bool {
        match self {
            Self::Equal => change == 0,
            Self::Growth(most) => change <= most,
            Self::Loss(most) => -change <= most,
            Self::Any => true,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => f.write_str("equal"),
            Self::Growth(most) => write!(f, "+{most}"),
            Self::Loss(most) => write!(f, "-{most}"),
            Self::Any => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_figures_must_be_equal() {
        for name in [
            "gntdev_regions",
            "gntdev_lost_frames",
            "xen_d0_grants_in_use",
            "pinned_pages",
        ] {
            assert_eq!(of(name), Bound::Equal, "{name}");
        }
        assert!(Bound::Equal.allows(0));
        assert!(!Bound::Equal.allows(1) && !Bound::Equal.allows(-1));
    }

    #[test]
    fn a_bound_has_a_direction() {
        assert_eq!(of("gntdev_refused_maps"), Bound::Any);
        assert!(of("xen_d12_maptrack_frames").allows(3));
        assert!(Bound::Growth(3).allows(3) && Bound::Growth(3).allows(-9));
        assert!(!Bound::Growth(3).allows(4));
        assert!(Bound::Loss(3).allows(-3) && Bound::Loss(3).allows(9));
        assert!(!Bound::Loss(3).allows(-4));
    }
}
