// SPDX-License-Identifier: GPL-2.0

//! Tests of map and unmap operations: their fields, and the answers of the hypervisor.

#![forbid(unsafe_code)]

use crate::xen::{
    bindings,
    grant::operation::{
        is_mapped,
        map_failure,
        map_operation,
        refusal,
        settle_unmap,
        succeeded,
        unmap_operation,
        Access,
        GrantReference,
        Target, //
    },
};
use kernel::prelude::*;

#[kunit_tests(xen_gntdev_grant_operation)]
mod tests {
    use super::*;

    const GRANT: GrantReference = GrantReference {
        domain: 7,
        reference: 0x1234_5678,
    };

    #[test]
    fn a_domain_has_sixteen_bits() {
        assert_eq!(
            GrantReference::from_user(0xffff, u32::MAX),
            Ok(GrantReference {
                domain: 0xffff,
                reference: u32::MAX,
            })
        );
        assert_eq!(GrantReference::from_user(0x1_0000, 8), Err(EINVAL));
        assert_eq!(GrantReference::from_user(u32::MAX, 8), Err(EINVAL));
    }

    #[test]
    fn the_first_refusal_is_the_error() {
        let answered = |status: i32| {
            let mut map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
            map.status = status as i16;
            map
        };
        let okay = answered(bindings::GNTST_okay as i32);
        let bad = answered(bindings::GNTST_bad_gntref);
        for full in [bindings::GNTST_no_space, bindings::GNTST_no_device_space] {
            let full = answered(full);
            assert_eq!(refusal(&[okay, full, bad]), ENOSPC);
            assert_eq!(refusal(&[okay, bad, full]), EINVAL);
        }
        let unanswered = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        assert_eq!(refusal(&[okay, unanswered]), EINVAL);
    }

    #[test]
    fn a_want_of_memory_is_not_taken_for_a_refusal() {
        assert_eq!(map_failure(ENOMEM), ENOMEM);
        for other in [EPERM, EFAULT, ENOSPC] {
            assert_eq!(map_failure(other), EINVAL);
        }
    }

    #[test]
    fn a_kernel_mapping_names_the_address_and_the_grant() {
        let map = map_operation(GRANT, Target::Kernel(0xabc_d000), Access::ReadWrite);
        assert_eq!(map.host_addr, 0xabc_d000);
        assert_eq!(map.dom, 7);
        assert_eq!(map.ref_, 0x1234_5678);
        assert_eq!(map.flags, bindings::GNTMAP_host_map);
    }

    #[test]
    fn no_kernel_mapping_is_for_a_device() {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let map = map_operation(GRANT, Target::Kernel(0x1000), access);
            assert_eq!(map.flags & bindings::GNTMAP_device_map, 0);
        }
    }

    #[test]
    fn read_only_is_asked_for() {
        let map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadOnly);
        assert_eq!(
            map.flags,
            bindings::GNTMAP_host_map | bindings::GNTMAP_readonly
        );
    }

    #[test]
    fn a_user_mapping_names_a_special_and_soft_dirty_page_table_entry() {
        let map = map_operation(GRANT, Target::UserPageTableEntry(0x5008), Access::ReadOnly);
        assert_eq!(map.host_addr, 0x5008);
        assert_eq!(
            map.flags,
            bindings::GNTMAP_host_map
                | bindings::GNTMAP_readonly
                | bindings::GNTMAP_application_map
                | bindings::GNTMAP_contains_pte
                | 0b101 << bindings::_GNTMAP_guest_avail0
        );
    }

    #[test]
    fn an_unanswered_operation_did_not_succeed() {
        let map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        assert!(!succeeded(&map));
        assert!(!is_mapped(&unmap_operation(&map)));
    }

    #[test]
    fn a_refused_operation_has_no_handle() {
        let mut map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        map.handle = 5;
        map.status = bindings::GNTST_bad_gntref as i16;
        assert!(!succeeded(&map));
        assert!(!is_mapped(&unmap_operation(&map)));
    }

    #[test]
    fn an_unmap_undoes_what_was_answered() {
        let mut map = map_operation(GRANT, Target::Kernel(0x1000), Access::ReadWrite);
        map.handle = 5;
        map.status = bindings::GNTST_okay as i16;
        map.dev_bus_addr = 0x9000;
        let mut unmap = unmap_operation(&map);
        assert!(succeeded(&map));
        assert!(is_mapped(&unmap));
        assert_eq!(unmap.host_addr, 0x1000);
        assert_eq!(unmap.handle, 5);
        assert_eq!(unmap.dev_bus_addr, 0);
        assert!(!settle_unmap(&mut unmap));
        assert!(is_mapped(&unmap));
        unmap.status = bindings::GNTST_okay as i16;
        assert!(settle_unmap(&mut unmap));
        assert!(!is_mapped(&unmap));
    }
}
