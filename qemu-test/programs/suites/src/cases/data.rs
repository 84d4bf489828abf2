// SPDX-License-Identifier: GPL-2.0

//! Data that one side writes and the other reads.

use guest_test::errno::EINVAL;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::pattern::Pattern;
use guest_test::process::in_child;
use guest_test::process::End;
use guest_test::signal::SIGSEGV;
use xen_grants::grant_table::GrantTable;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use crate::granter::Access;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

rules![
    #[rule("one page is read and written through libxengnttab")]
    fn one_page(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 1)?;
        let table = GrantTable::open()?;
        let mapping = table.map(share.grants[0], Protection::ReadWrite)?;
        assert_eq!(mapping.first_difference(1), None);

        mapping.fill(2);
        world.assert_granter_sees(&share, 2);
        mapping.unmap()?;
        world.assert_granter_sees(&share, 2);
        Ok(())
    },

    #[rule("several pages of one domain keep their order")]
    fn several_pages(world: &mut World) -> Verdict {
        for pages in [2, 3, 17] {
            let share = world.share(pages)?;
            world.granter.fill(&share, 3)?;
            let table = GrantTable::open()?;
            let domid = world.granter.domid();
            let mapping = table.map_domain(domid, &share.references(), Protection::ReadWrite)?;
            assert_eq!(mapping.first_difference(3), None);

            mapping.fill(4);
            world.assert_granter_sees(&share, 4);
            mapping.unmap()?;
        }
        Ok(())
    },

    #[rule("grants in any order make one region")]
    fn any_order(world: &mut World) -> Verdict {
        let first = world.share(2)?;
        let second = world.share(2)?;
        world.granter.fill(&first, 5)?;
        world.granter.fill(&second, 6)?;
        let grants = [
            second.grants[1],
            first.grants[0],
            second.grants[0],
            first.grants[1],
        ];
        let table = GrantTable::open()?;
        let mapping = table.map_all(&grants, Protection::ReadWrite)?;

        for (page, (share, place)) in [(&second, 1), (&first, 0), (&second, 0), (&first, 1)]
            .into_iter()
            .enumerate()
        {
            let at = place * PAGE_SIZE + 100 + page;
            assert_eq!(
                mapping.read(page * PAGE_SIZE + 100 + page),
                world.granter.read(share, at)?,
                "page {page}"
            );
            mapping.write(page * PAGE_SIZE + 100 + page, 0xa0 + page as u8);
            assert_eq!(world.granter.read(share, at)?, 0xa0 + page as u8);
        }
        mapping.unmap()?;
        Ok(())
    },

    #[rule("a change is seen by the other side at once")]
    fn ping_pong(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let table = GrantTable::open()?;
        let mapping = table.map(share.grants[0], Protection::ReadWrite)?;
        for round in 1..=8 {
            mapping.write(7, round);
            assert_eq!(world.granter.read(&share, 7)?, round);
            world.granter.write(&share, 4095, round + 100)?;
            assert_eq!(mapping.read(4095), round + 100);
        }
        Ok(())
    },

    #[rule("a read-only mapping of a writable grant is read")]
    fn read_only_mapping(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 7)?;
        let table = GrantTable::open()?;
        let mapping = table.map_all(&share.grants, Protection::Read)?;
        assert_eq!(mapping.first_difference(7), None);

        world.granter.fill(&share, 8)?;
        assert_eq!(mapping.first_difference(8), None);
        Ok(())
    },

    #[rule("writing to a read-only mapping is a segmentation fault")]
    fn write_to_read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 9)?;
        let grant = share.grants[0];
        let end = in_child(|| {
            let table = GrantTable::open().expect("open");
            let mapping = table.map(grant, Protection::Read).expect("map");
            mapping.write(0, !mapping.read(0));
        })?;
        assert_eq!(end, End::Signalled(SIGSEGV));
        world.assert_granter_sees(&share, 9);
        Ok(())
    },

    #[rule("a read-only grant is mapped for reading")]
    fn read_only_grant(world: &mut World) -> Verdict {
        let share = world.granter.share(2, Access::ReadOnly)?;
        world.granter.fill(&share, 10)?;
        let table = GrantTable::open()?;
        let mapping = table.map_all(&share.grants, Protection::Read)?;
        assert_eq!(mapping.first_difference(10), None);
        Ok(())
    },

    #[rule("a read-only grant mapped for writing is EINVAL")]
    fn read_only_grant_for_writing(world: &mut World) -> Verdict {
        let share = world.granter.share(1, Access::ReadOnly)?;
        let table = GrantTable::open()?;
        let result = table.map(share.grants[0], Protection::ReadWrite);
        assert_error(result.map(drop), EINVAL, "mapping for writing");

        table.map(share.grants[0], Protection::Read)?;
        Ok(())
    },

    #[rule("a private mapping is allowed for reading")]
    fn private_for_reading(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 11)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = mapping::private(device.file(), index, 1, Protection::Read)?;
        assert_eq!(mapping.first_difference(11), None);
        Ok(())
    },

    #[rule("a grant is mapped twice at the same time")]
    fn mapped_twice(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let table = GrantTable::open()?;
        let one = table.map(share.grants[0], Protection::ReadWrite)?;
        let other = table.map(share.grants[0], Protection::ReadWrite)?;
        assert_ne!(one.address(), other.address());

        one.fill(12);
        assert_eq!(other.first_difference(12), None);
        one.unmap()?;
        other.fill(13);
        world.assert_granter_sees(&share, 13);
        Ok(())
    },

    #[rule("two open files map independently")]
    fn two_files(world: &mut World) -> Verdict {
        let first = world.mapped(2, 14)?;
        let second = world.mapped(2, 15)?;
        assert_eq!((first.index, second.index), (0, 0));
        assert_eq!(first.mapping.first_difference(14), None);
        drop(first);
        assert_eq!(second.mapping.first_difference(15), None);
        Ok(())
    },

    #[rule("512 pages in one region")]
    fn many_pages(world: &mut World) -> Verdict {
        let share = world.share(512)?;
        world.granter.fill(&share, 16)?;
        let table = GrantTable::open()?;
        let mapping = table.map_all(&share.grants, Protection::ReadWrite)?;
        assert_eq!(mapping.first_difference(16), None);

        mapping.fill(17);
        world.assert_granter_sees(&share, 17);
        mapping.unmap()?;
        Ok(())
    },

    /// The device refuses the request, which the library takes as "not needed".
    #[rule("libxengnttab is content with set_max_grants")]
    fn set_max_grants(world: &mut World) -> Verdict {
        let table = GrantTable::open()?;
        table.set_max_grants(16)?;
        let share = world.share(1)?;
        table.map(share.grants[0], Protection::Read)?;
        Ok(())
    }
];
