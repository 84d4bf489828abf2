// SPDX-License-Identifier: GPL-2.0

//! The array of segments, which may be missing, cut off or read-only.

use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Request;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use super::segments::assert_okay;
use super::segments::encoded;
use super::segments::from_grant;
use super::segments::memory;
use super::segments::PAGE;
use super::segments::PER_PAGE;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

rules![
    #[rule("segments that cannot be read are EFAULT")]
    fn segments_missing(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(1)?;
        let device = Gntdev::open()?;
        for address in BadAddress::ALL {
            for count in [1, 16, 17, 256, 3000] {
                let what = format!("{count} at {address:?}");
                assert_error(device.copy_at_bad_address(address, count), EFAULT, &what);
            }
        }
        let segment = from_grant(share.grants[0], 0, &local, 0, 8);
        let array = encoded(&segment, Protection::None)?;
        device.copy_encoded(&array, 0, PER_PAGE)?;
        for count in [PER_PAGE + 1, PER_PAGE + 2, 2 * PER_PAGE] {
            let result = device.copy_encoded(&array, 0, count);
            assert_error(result, EFAULT, &format!("{count} segments"));
        }
        Ok(())
    },

    #[rule("statuses that cannot be written are EFAULT")]
    fn statuses_read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(1)?;
        let device = Gntdev::open()?;
        let segment = from_grant(share.grants[0], 0, &local, 0, 8);
        let array = encoded(&segment, Protection::Read)?;
        device.copy_encoded(&array, 0, PER_PAGE)?;
        for count in [PER_PAGE + 2, 2 * PER_PAGE] {
            let result = device.copy_encoded(&array, 0, count);
            assert_error(result, EFAULT, &format!("{count} segments"));
        }
        Ok(())
    },

    /// The address space behind the segments is reserved and inaccessible, so no segment is read
    /// there.
    #[rule("more segments than there are is EFAULT")]
    fn huge_count(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(1)?;
        let device = Gntdev::open()?;
        let pages = (u32::MAX as usize * RawSegment::SIZE).div_ceil(PAGE_SIZE);
        let mut array = Mapping::anonymous(pages, Protection::None)?;
        let rest = array.split_off(1);
        array.protect(Protection::ReadWrite)?;
        let segment = from_grant(share.grants[0], 0, &local, 0, 8)
            .raw()
            .to_bytes();
        for number in 0..PER_PAGE as usize {
            array.write_all(number * RawSegment::SIZE, &segment);
        }
        array.join(rest);
        for count in [1000, 1 << 16, 1 << 24, 1 << 31, u32::MAX] {
            let result = device.copy_encoded(&array, 0, count);
            assert_error(result, EFAULT, &format!("{count} segments"));
        }
        Ok(())
    },

    #[rule("an argument that cannot be read is EFAULT")]
    fn bad_pointer(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for address in BadAddress::ALL {
            let result = device.request_at_bad_address(Request::GRANT_COPY, address);
            assert_error(result, EFAULT, &format!("{address:?}"));
        }
        Ok(())
    },

    #[rule("a failed call does not keep the next from working")]
    fn works_after_failure(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 165)?;
        let local = memory(1)?;
        let missing = memory(1)?;
        missing.protect(Protection::None)?;
        let table = GrantTable::open()?;
        let good = from_grant(share.grants[0], 0, &local, 0, PAGE);
        let unreadable = from_grant(share.grants[0], 0, &missing, 0, PAGE);
        let crossing = from_grant(share.grants[0], 1, &local, 0, PAGE);
        for (bad, errno) in [(unreadable, EFAULT), (crossing, EINVAL)] {
            for before in [0, 1, 15, 16, 256] {
                let mut segments = vec![good; before];
                segments.push(bad);
                assert_error(table.copy(&segments), errno, &format!("after {before}"));
                local.fill(0);
                assert_okay(&table.copy(&[good])?);
                assert_eq!(local.first_difference(165), None, "after {before}");
            }
        }
        Ok(())
    }
];
