// SPDX-License-Identifier: GPL-2.0

//! `MAP_FIXED` at addresses where grants are mapped. The kernel unmaps what is there before it asks
//! the device, and does not bring it back if the device refuses.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Place;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::Mapped;
use crate::world::World;

rules![
    /// A region cannot be mapped a second time. On an auto-translated domain it keeps its grants
    /// until it is removed, as after munmap.
    #[rule("mapping a region over itself is EINVAL, and unmaps it")]
    fn over_itself(world: &mut World) -> Verdict {
        let Mapped {
            device,
            index,
            share,
            mapping,
        } = world.mapped(3, 100)?;
        let address = mapping.address();
        let result = mapping.replaced_by_file(device.file(), index, Protection::ReadWrite);
        assert_error(result, EINVAL, "mapping it over itself");
        let place = device.place_of(address);
        assert_error(place, EINVAL, "looking for the old mapping");
        if world.is_paravirtual() {
            assert_released(&share.grants);
        }
        device.remove(index, 3)?;
        assert_released(&share.grants);

        // The grants and the file are as good as before.
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, 3, Protection::ReadWrite)?;
        assert_eq!(mapping.first_difference(100), None);
        mapping.fill(101);
        world.assert_granter_sees(&share, 101);
        Ok(())
    },

    #[rule("mapping a page of a region over itself is EINVAL, and unmaps that page alone")]
    fn page_over_itself(world: &mut World) -> Verdict {
        let mut held = world.mapped(3, 102)?;
        let mut middle = held.mapping.split_off(1);
        let last = middle.split_off(1);
        let at = held.index + PAGE_SIZE as u64;
        let result = middle.replaced_by_file(held.device.file(), at, Protection::ReadWrite);
        assert_error(result, EINVAL, "mapping the page over itself");
        let grants = &held.share.grants;
        if world.is_paravirtual() {
            assert_released(&grants[1..2]);
        }
        assert_eq!(in_use(&grants[..1])? + in_use(&grants[2..])?, 2);
        assert_eq!(held.mapping.first_difference(102), None);
        assert_eq!(last.first_difference_from(2 * PAGE_SIZE, 102), None);

        held.mapping.unmap()?;
        last.unmap()?;
        held.device.remove(held.index, 3)?;
        assert_released(grants);
        Ok(())
    },

    /// The first region still belongs to the file, and in a paravirtual domain both watch the same
    /// addresses.
    #[rule("a region of the same grants takes the place of a mapped one")]
    fn same_grants(world: &mut World) -> Verdict {
        let held = world.mapped(2, 104)?;
        let index = held.device.insert(&held.share.grants)?;
        let mapping = replace(&held.device, held.mapping, index)?;
        assert_eq!(mapping.first_difference(104), None);
        held.device.remove(held.index, 2)?;
        assert_eq!(in_use(&held.share.grants)?, 2);
        mapping.fill(105);
        world.assert_granter_sees(&held.share, 105);

        mapping.unmap()?;
        held.device.remove(index, 2)?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a region of other grants takes the place of a mapped one")]
    fn other_grants(world: &mut World) -> Verdict {
        let held = world.mapped(2, 106)?;
        let other = world.share(2)?;
        world.granter.fill(&other, 107)?;
        let index = held.device.insert(&other.grants)?;
        let mapping = replace(&held.device, held.mapping, index)?;
        assert_eq!(mapping.first_difference(107), None);
        held.device.remove(held.index, 2)?;
        assert_released(&held.share.grants);
        assert_eq!(in_use(&other.grants)?, 2);
        mapping.fill(108);
        world.assert_granter_sees(&other, 108);
        world.assert_granter_sees(&held.share, 106);

        mapping.unmap()?;
        held.device.remove(index, 2)?;
        assert_released(&other.grants);
        Ok(())
    }
];

/// Maps the region at `index` in place of `mapping`, at the same addresses.
fn replace(device: &Gntdev, mapping: Mapping, index: u64) -> std::io::Result<Mapping> {
    let (address, pages) = (mapping.address(), mapping.pages());
    let mapping = mapping.replaced_by_file(device.file(), index, Protection::ReadWrite)?;
    let expected = Place {
        offset: index,
        count: pages as u32,
    };
    assert_eq!(device.place_of(address)?, expected);
    Ok(mapping)
}
