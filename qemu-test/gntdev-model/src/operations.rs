// SPDX-License-Identifier: GPL-2.0

//! Operations of the grant table hypercall: their repetition, and the settlement of unmappings.

use crate::{
    bindings::{
        gnttab_map_grant_ref, gnttab_unmap_grant_ref, GNTST_bad_page, GNTST_eagain,
        GNTST_no_device_space, GNTST_no_space, INVALID_GRANT_HANDLE,
    },
    cases,
    prelude::{EBUSY, EFAULT, EINVAL, ENOMEM, ENOSPC},
    xen::grant::{
        operation::{
            is_mapped, map_failure, map_operation, refusal, settle_unmaps, succeeded,
            unmap_operation, Access, GrantReference, Target,
        },
        retry::repeat_paged_out,
    },
};
use proptest::prelude::*;

const PAGED_OUT: i16 = GNTST_eagain as i16;
/// Number of pauses before an operation is given up.
const PAUSES: u32 = 255;

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn each_operation_is_repeated_until_its_page_is_there(
        // Number of the attempt that succeeds, for each operation. 0 is the one before the first.
        attempts in prop::collection::vec(
            prop_oneof![Just(0), 1..6_u32, 250..260_u32], 0..40),
        killed_after in prop_oneof![3 => Just(u32::MAX), 1 => 0..8_u32],
    ) {
        let mut operations: Vec<_> = attempts
            .iter()
            .enumerate()
            .map(|(index, &attempt)| gnttab_map_grant_ref {
                ref_: index as u32,
                status: if attempt == 0 { 0 } else { PAGED_OUT },
                ..Default::default()
            })
            .collect();
        let mut issued = vec![0; attempts.len()];
        let mut pauses = Vec::new();
        repeat_paged_out(
            &mut operations,
            |milliseconds| {
                pauses.push(milliseconds);
                pauses.len() as u32 <= killed_after
            },
            |run| {
                assert!(!run.is_empty());
                for operation in run {
                    assert_eq!(operation.status, PAGED_OUT, "an answered operation is repeated");
                    let index = operation.ref_ as usize;
                    issued[index] += 1;
                    if issued[index] == attempts[index] {
                        operation.status = 0;
                    }
                }
            },
        );
        let rounds = PAUSES.min(killed_after);
        for (index, &attempt) in attempts.iter().enumerate() {
            prop_assert_eq!(issued[index], attempt.min(rounds));
            let expected = if attempt <= rounds { 0 } else { GNTST_bad_page as i16 };
            prop_assert_eq!(operations[index].status, expected);
        }
        // The pauses grow by one, and there is none after the last operation has been answered.
        let needed = attempts.iter().copied().max().unwrap_or(0);
        let expected = needed.min(PAUSES).min(killed_after.saturating_add(1));
        prop_assert_eq!(pauses, (1..=expected).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_mapped_is_unmapped_once(
        mapped in prop::collection::vec((-14..=1_i16, 0..100_u32), 0..20),
        unmapped in prop::collection::vec(prop_oneof![3 => Just(0_i16), 1 => -14..=1_i16], 20),
    ) {
        let grant = GrantReference { domain: 1, reference: 2 };
        let maps: Vec<_> = mapped
            .iter()
            .map(|&(status, handle)| gnttab_map_grant_ref {
                status,
                handle,
                ..map_operation(grant, Target::Kernel(0x1000), Access::ReadOnly)
            })
            .collect();
        let mut unmaps: Vec<gnttab_unmap_grant_ref> = maps.iter().map(unmap_operation).collect();
        for (map, unmap) in maps.iter().zip(&unmaps) {
            prop_assert_eq!(is_mapped(unmap), succeeded(map));
            prop_assert_eq!(unmap.host_addr, map.host_addr);
        }
        let full = [GNTST_no_space as i16, GNTST_no_device_space as i16];
        let first = maps.iter().find(|map| !succeeded(map));
        prop_assert_eq!(
            refusal(&maps),
            if first.is_some_and(|map| full.contains(&map.status)) { ENOSPC } else { EINVAL }
        );

        unmaps.retain(is_mapped);
        let count = unmaps.len();
        let mut refused = Vec::new();
        for (unmap, &status) in unmaps.iter_mut().zip(&unmapped) {
            unmap.status = status;
            if status != 0 {
                refused.push(unmap.handle);
            }
        }
        prop_assert_eq!(settle_unmaps(&mut unmaps), refused.len());
        let left: Vec<_> = unmaps
            .iter()
            .filter(|unmap| is_mapped(unmap))
            .map(|unmap| unmap.handle)
            .collect();
        prop_assert_eq!(left, refused, "of {}", count);
        prop_assert!(unmaps.iter().all(|unmap| unmap.status != 0
            || unmap.handle == INVALID_GRANT_HANDLE));
    }

    #[test]
    fn no_domain_number_is_truncated(domain: u32, small in 0..=0xffff_u32, reference: u32) {
        for domain in [domain, small] {
            match GrantReference::from_user(domain, reference) {
                Ok(grant) => {
                    prop_assert_eq!(u32::from(grant.domain), domain);
                    prop_assert_eq!(grant.reference, reference);
                }
                Err(error) => {
                    prop_assert_eq!(error, EINVAL);
                    prop_assert!(domain > 0xffff);
                }
            }
        }
    }
}

#[test]
fn only_a_want_of_memory_keeps_its_name() {
    assert_eq!(map_failure(ENOMEM), ENOMEM);
    for other in [EBUSY, EFAULT, EINVAL, ENOSPC] {
        assert_eq!(map_failure(other), EINVAL);
    }
}
