// SPDX-License-Identifier: GPL-2.0

//! Numbers of pages that are refused.

use std::fs;
use std::io;

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::Import;
use guest_test::ktap::Verdict;

use super::descriptors::assert_no_descriptor;
use crate::cases::dmabuf::buffers::file_buffer;
use crate::cases::dmabuf::buffers::KINDS;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

/// Counts near where 32 bits, or those of the size in bytes, overflow.
const FAR_TOO_MANY: [u32; 6] = [
    1 << 30,
    (1 << 30) + 1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
];

rules![
    #[rule("an export of no pages is EINVAL")]
    fn export_of_nothing(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        assert_no_descriptor(|| {
            for (flags, kind) in KINDS {
                let result = device.export(flags, domid, &[]);
                assert_error(result, EINVAL, &format!("nothing as {kind} memory"));
            }
            Ok(())
        })
    },

    #[rule("an export of too many pages is EINVAL")]
    fn export_of_too_many(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        let limit = limit(world)?;
        let too_many = vec![share.grants[0].reference; limit as usize + 1];
        assert_no_descriptor(|| {
            assert_error(device.export(0, domid, &too_many), EINVAL, "limit and one");
            for count in FAR_TOO_MANY {
                for (flags, _) in KINDS {
                    let result = device.export_claiming(count, flags, domid, &share.references());
                    assert_error(result, EINVAL, &format!("count {count:#x}"));
                }
            }
            Ok(())
        })?;
        assert_released(&share.grants);
        Ok(())
    },

    #[rule("an import of no pages is EINVAL")]
    fn import_of_nothing(world: &mut World) -> Verdict {
        let (_, buffer) = file_buffer(1)?;
        let device = Gntdev::open()?;
        let result = device.import(&buffer, world.granter.domid(), 0);
        assert_error(result, EINVAL, "a count of 0");
        Ok(())
    },

    #[rule("an import of too many pages is EINVAL")]
    fn import_of_too_many(world: &mut World) -> Verdict {
        let (_, buffer) = file_buffer(1)?;
        let device = Gntdev::open()?;
        let limit = limit(world)?;
        for count in [limit + 1].into_iter().chain(FAR_TOO_MANY) {
            let result = device.import_claiming(&Import {
                number: buffer.number(),
                count,
                domid: world.granter.domid(),
                reserved: 0,
            });
            assert_error(result, EINVAL, &format!("count {count:#x}"));
        }
        let result = device.release_import(buffer.number());
        assert_error(result, ENOENT, "releasing it");
        Ok(())
    }
];

/// The module's parameter, the most pages in one region or buffer.
fn limit(world: &World) -> io::Result<u32> {
    let text = fs::read_to_string(world.driver.limit_file())?;
    text.trim().parse().map_err(io::Error::other)
}
