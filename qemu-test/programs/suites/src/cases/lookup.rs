// SPDX-License-Identifier: GPL-2.0

//! Regions by address, as libxengnttab's unmap finds them.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Place;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("the start of a mapping leads to offset and count")]
    fn start_of_mapping(world: &mut World) -> Verdict {
        let share = world.share(6)?;
        let device = Gntdev::open()?;
        let mut held = Vec::new();
        for pages in [0..1, 1..4, 4..6] {
            let grants = &share.grants[pages];
            let index = device.insert(grants)?;
            let mapping = device.map(index, grants.len(), Protection::ReadWrite)?;
            held.push((mapping, index, grants.len() as u32));
        }
        for (mapping, offset, count) in &held {
            let place = device.place_of(mapping.address())?;
            assert_eq!((place.offset, place.count), (*offset, *count));
        }
        Ok(())
    },

    /// The header does not say so, but Linux's C driver does it.
    #[rule("any address within a mapping leads to its region")]
    fn middle_of_mapping(world: &mut World) -> Verdict {
        let held = world.mapped(3, 30)?;
        let expected = Place {
            offset: held.index,
            count: 3,
        };
        for at in [1, PAGE_SIZE, 3 * PAGE_SIZE - 1] {
            let place = held.device.place_of(held.mapping.address() + at)?;
            assert_eq!(place, expected, "offset {at}");
        }
        Ok(())
    },

    #[rule("the rest of a mapping leads to the whole region")]
    fn after_partial_munmap(world: &mut World) -> Verdict {
        let mut held = world.mapped(3, 31)?;
        let rest = held.mapping.split_off(1);
        held.mapping.unmap()?;
        let place = held.device.place_of(rest.address())?;
        assert_eq!((place.offset, place.count), (held.index, 3));
        Ok(())
    },

    /// The request is about the process's addresses, not about the file.
    #[rule("a mapping of another file is found too")]
    fn other_file(world: &mut World) -> Verdict {
        let held = world.mapped(2, 34)?;
        let place = Gntdev::open()?.place_of(held.mapping.address())?;
        assert_eq!((place.offset, place.count), (held.index, 2));
        Ok(())
    },

    #[rule("an address that nothing is mapped at is EINVAL")]
    fn nothing_mapped(world: &mut World) -> Verdict {
        let held = world.mapped(1, 32)?;
        let address = held.mapping.address();
        held.mapping.unmap()?;
        for address in [address, 0, usize::MAX, 0x7fff_ffff_f000] {
            // The mapping above the address, if any, is not used.
            let what = format!("address {address:#x}");
            assert_error(held.device.place_of(address), EINVAL, &what);
        }
        Ok(())
    },

    #[rule("the address before a mapping is EINVAL")]
    #[expect_c_differs("takes the first mapping that ends after the address")]
    fn before_mapping(world: &mut World) -> Verdict {
        let mut held = world.mapped(2, 33)?;
        let first = held.mapping.address();
        let rest = held.mapping.split_off(1);
        held.mapping.unmap()?;
        assert_error(held.device.place_of(first), EINVAL, "the page before");
        drop(rest);
        Ok(())
    },

    #[rule("an address of other memory is EINVAL")]
    fn other_memory(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
        assert_error(
            device.place_of(memory.address()),
            EINVAL,
            "anonymous memory",
        );
        let stack = 0;
        let address = &raw const stack as usize;
        assert_error(device.place_of(address), EINVAL, "the stack");
        Ok(())
    },

    #[rule("libxengnttab's unmap removes the region too")]
    fn unmap_removes_region(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        let table = GrantTable::open()?;
        for _ in 0..5 {
            let mapping = table.map_all(&share.grants, Protection::ReadWrite)?;
            mapping.unmap()?;
            assert_released(&share.grants);
        }
        Ok(())
    }
];
