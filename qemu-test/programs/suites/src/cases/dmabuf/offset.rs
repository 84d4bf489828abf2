// SPDX-License-Identifier: GPL-2.0

//! Requests with the offset of a buffer's data in its first page.

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::memory::COHERENT;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::grant_dma_buf::Import;
use guest_test::inspect::Inspect;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use guest_test::process::open_files;
use xen_grants::mapping::Protection;
use xen_grants::PAGE_SIZE;

use super::buffers::assert_ends;
use super::buffers::file_buffer;
use super::buffers::KINDS;
use super::buffers::NO_OFFSET;
use crate::granter::Access;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("an export at offset 0 is an ordinary one")]
    #[expect_c_differs(NO_OFFSET)]
    fn offset_zero(world: &mut World) -> Verdict {
        const PAGES: usize = 3;
        let share = world.share(PAGES)?;
        let device = Gntdev::open()?;
        for (flags, kind) in KINDS {
            world.granter.fill(&share, 1000)?;
            let buffer = device.export_at(0, flags, world.granter.domid(), &share.references())?;
            assert_eq!(buffer.size()?, (PAGES * PAGE_SIZE) as u64, "{kind} memory");
            assert!(buffer.is_closed_on_exec()?, "{kind} memory");
            let mapping = buffer.map(PAGES)?;
            assert_eq!(mapping.first_difference(1000), None, "{kind} memory");
            mapping.fill(1001);
            world.assert_granter_sees(&share, 1001);
            let number = buffer.number();
            drop((mapping, buffer));
            assert_ends(&device, number);
            assert_released(&share.grants);
        }
        Ok(())
    },

    #[rule("an export's data begins at any byte of its pages")]
    #[expect_c_differs(NO_OFFSET)]
    fn any_offset(world: &mut World) -> Verdict {
        const PAGES: usize = 3;
        let share = world.share(PAGES)?;
        let device = Gntdev::open()?;
        let page = PAGE_SIZE as u32;
        for offset in [1, 64, page - 1, page, 2 * page + 5, 3 * page - 1] {
            let domid = world.granter.domid();
            let buffer = device
                .export_at(offset, 0, domid, &share.references())
                .unwrap_or_else(|error| panic!("offset {offset}: {error}"));
            let before = offset as usize / PAGE_SIZE;
            assert_eq!(
                in_use(&share.grants[..before])?,
                0,
                "pages before offset {offset}"
            );
            assert_eq!(in_use(&share.grants)?, PAGES - before, "offset {offset}");
            let number = buffer.number();
            drop(buffer);
            assert_ends(&device, number);
            assert_released(&share.grants);
        }
        Ok(())
    },

    #[rule("an export begins with the page that its data begins in")]
    #[expect_c_differs(NO_OFFSET)]
    fn begins_with_data(world: &mut World) -> Verdict {
        const PAGES: usize = 4;
        let share = world.share(PAGES)?;
        world.granter.fill(&share, 1005)?;
        let device = Gntdev::open()?;
        for (flags, kind) in KINDS {
            for (offset, before) in [(64, 0), (1, 1), (0, 2), (PAGE_SIZE - 1, 3)] {
                let what = format!("byte {offset} of page {before}, {kind} memory");
                let at = (before * PAGE_SIZE + offset) as u32;
                let domid = world.granter.domid();
                let buffer = device.export_at(at, flags, domid, &share.references())?;
                let pages = PAGES - before;
                assert_eq!(buffer.size()?, (pages * PAGE_SIZE) as u64, "{what}");
                let result = buffer.map(pages + 1);
                assert_error(result, EINVAL, &what);
                let mapping = buffer.map(pages)?;
                for at in [0, offset, pages * PAGE_SIZE - 1] {
                    let expected = world.granter.read(&share, before * PAGE_SIZE + at)?;
                    assert_eq!(mapping.read(at), expected, "{what}, byte {at}");
                }
                let last = buffer.map_part(pages - 1, 1, Protection::ReadWrite)?;
                let expected = world.granter.read(&share, (PAGES - 1) * PAGE_SIZE + 9)?;
                assert_eq!(last.read(9), expected, "{what}, the last page");
                let number = buffer.number();
                drop((mapping, last, buffer));
                assert_ends(&device, number);
                assert_released(&share.grants);
            }
        }
        Ok(())
    },

    #[rule("an offset at or beyond the end is EINVAL")]
    #[expect_c_differs(NO_OFFSET)]
    fn beyond_end(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        let size = 2 * PAGE_SIZE as u32;
        let before = open_files()?;
        for offset in [size, size + 1, 3 * size, 1 << 31, u32::MAX - 4095, u32::MAX] {
            for (flags, kind) in KINDS {
                let domid = world.granter.domid();
                let result = device.export_at(offset, flags, domid, &share.references());
                assert_error(
                    result,
                    EINVAL,
                    &format!("offset {offset:#x}, {kind} memory"),
                );
            }
        }
        assert_eq!(open_files()?, before, "open files");
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("wrong flags are EINVAL with an offset, too")]
    #[expect_c_differs(NO_OFFSET)]
    fn wrong_flags(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        for flags in [WRITE_COMBINE | COHERENT, 4, 1 << 31] {
            let result = device.export_at(0, flags, world.granter.domid(), &share.references());
            assert_error(result, EINVAL, &format!("flags {flags:#x}"));
        }
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("an import tells offset 0 of a whole buffer")]
    #[expect_c_differs(NO_OFFSET)]
    fn import_without_offset(world: &mut World) -> Verdict {
        let (contents, buffer) = file_buffer(3)?;
        contents.fill(1010);
        let device = Gntdev::open()?;
        for reserved in [0, u32::MAX] {
            let (offset, references) = device.import_at(&Import {
                number: buffer.number(),
                count: 3,
                domid: world.granter.domid(),
                reserved,
            })?;
            assert_eq!(offset, 0);
            let peer = world.granter.map(&references, Access::ReadOnly)?;
            world.assert_granter_sees(&peer, 1010);
            world.granter.unshare(peer)?;
            device.release_import(buffer.number())?;
        }
        Ok(())
    },

    #[rule("an import with a wrong number of pages is EINVAL")]
    #[expect_c_differs(NO_OFFSET)]
    fn wrong_count(world: &mut World) -> Verdict {
        let (_, buffer) = file_buffer(3)?;
        let device = Gntdev::open()?;
        for count in [0, 1, 2, 4, u32::MAX] {
            let result = device.import_at(&Import {
                number: buffer.number(),
                count,
                domid: world.granter.domid(),
                reserved: 0,
            });
            assert_error(result, EINVAL, &format!("{count} of 3 pages"));
        }
        let result = device.release_import(buffer.number());
        assert_error(result, ENOENT, "releasing it");
        Ok(())
    },

    /// Pages that another domain granted cannot be granted again; the request may be refused.
    #[rule("an import tells an export's offset")]
    #[expect_c_differs(NO_OFFSET)]
    fn export_imported(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        let mut told = Vec::new();
        for offset in [0, 64, PAGE_SIZE as u32 - 1] {
            let buffer = device.export_at(offset, 0, domid, &share.references())?;
            let import = Import {
                number: buffer.number(),
                count: 2,
                domid,
                reserved: 0,
            };
            match device.import_at(&import) {
                Ok((found, _)) => told.push((offset, found)),
                Err(error) => return skip_case(&format!("exports are not imported: {error}")),
            }
            device.release_import(buffer.number())?;
            // The import request without an offset refuses a buffer that has one.
            if offset != 0 {
                assert_error(
                    device.import(&buffer, domid, 2),
                    EINVAL,
                    "without an offset",
                );
            }
        }
        for (offset, found) in told {
            assert_eq!(found, offset);
        }
        Ok(())
    }
];
