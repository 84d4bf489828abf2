// SPDX-License-Identifier: GPL-2.0

//! Tests of the direction in which an access by the CPU synchronizes a mapping of a device.

#![forbid(unsafe_code)]

use crate::xen::kernel::dma_direction::Direction::{
    self,
    Bidirectional,
    FromDevice,
    ToDevice, //
};
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_direction)]
mod tests {
    use super::*;

    const ALL: [Direction; 3] = [Bidirectional, ToDevice, FromDevice];

    #[test]
    fn a_cpu_that_only_writes_gets_nothing_of_the_device() {
        assert_eq!(Bidirectional.before_cpu(ToDevice), Some(ToDevice));
        assert_eq!(FromDevice.before_cpu(ToDevice), None);
    }

    #[test]
    fn a_cpu_that_reads_gets_what_the_device_wrote() {
        for access in [FromDevice, Bidirectional] {
            assert_eq!(FromDevice.before_cpu(access), Some(FromDevice));
            assert_eq!(Bidirectional.before_cpu(access), Some(access));
        }
    }

    #[test]
    fn a_device_that_only_reads_wrote_nothing() {
        assert_eq!(ToDevice.before_cpu(FromDevice), None);
        for access in [ToDevice, Bidirectional] {
            assert_eq!(ToDevice.before_cpu(access), Some(ToDevice));
        }
    }

    #[test]
    fn a_device_gets_what_a_cpu_wrote() {
        for access in [ToDevice, Bidirectional] {
            assert_eq!(ToDevice.after_cpu(access), Some(ToDevice));
            assert_eq!(Bidirectional.after_cpu(access), Some(access));
        }
    }

    #[test]
    fn a_device_gets_nothing_of_a_cpu_that_only_read() {
        assert_eq!(ToDevice.after_cpu(FromDevice), None);
        assert_eq!(Bidirectional.after_cpu(FromDevice), Some(FromDevice));
    }

    #[test]
    fn a_cpu_writes_nothing_later_than_the_device() {
        for access in ALL {
            assert_eq!(FromDevice.after_cpu(access), Some(FromDevice));
        }
    }

    #[test]
    fn nothing_is_done_that_the_mapping_is_not_for() {
        for mapping in [ToDevice, FromDevice] {
            for access in ALL {
                let before = mapping.before_cpu(access);
                assert!(before.is_none_or(|done| done == mapping));
                let after = mapping.after_cpu(access);
                assert!(after.is_none_or(|done| done == mapping));
            }
        }
    }
}
