// SPDX-License-Identifier: GPL-2.0

//! Tests of the number of grants that a region can have.

#![forbid(unsafe_code)]

use crate::limits::{
    check_count,
    DEFAULT_LIMIT, //
};
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_limits)]
mod tests {
    use super::*;

    #[test]
    fn no_grant_is_invalid() {
        assert_eq!(check_count(0, DEFAULT_LIMIT), Err(EINVAL));
    }

    #[test]
    fn one_to_the_limit_are_allowed() {
        assert_eq!(check_count(1, DEFAULT_LIMIT), Ok(1));
        assert_eq!(check_count(DEFAULT_LIMIT, DEFAULT_LIMIT), Ok(64 * 1024));
    }

    #[test]
    fn more_than_the_limit_is_invalid() {
        assert_eq!(check_count(DEFAULT_LIMIT + 1, DEFAULT_LIMIT), Err(EINVAL));
        assert_eq!(check_count(1 << 31, DEFAULT_LIMIT), Err(EINVAL));
        assert_eq!(check_count(u32::MAX, DEFAULT_LIMIT), Err(EINVAL));
    }

    #[test]
    fn the_administrator_can_allow_none_and_all() {
        assert_eq!(check_count(1, 0), Err(EINVAL));
        assert_eq!(check_count(u32::MAX, u32::MAX), Ok(u32::MAX as usize));
    }
}
