// SPDX-License-Identifier: GPL-2.0

//! Requests of 32-bit programs on a 64-bit kernel.

use guest_test::compat::LowMemory;
use guest_test::errno::EFAULT;
use guest_test::errno::ENOENT;
use guest_test::errno::ENOTTY;
use guest_test::gntdev::notify;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Request;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::BAD_REFERENCE;
use xen_grants::grant_copy::OKAY;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

rules![
    #[rule("a 32-bit program adds, finds and removes a region")]
    #[expect_c_differs("fails with ENOTTY")]
    fn region(world: &mut World) -> Verdict {
        const PAGES: usize = 2;
        const BYTE: usize = PAGE_SIZE + 5;
        require_x86()?;
        let share = world.share(PAGES)?;
        world.granter.fill(&share, 250)?;
        let device = Gntdev::open()?;
        let index = device.insert_32(&share.grants)?;
        let mapping = device.map(index, PAGES, Protection::ReadWrite)?;
        assert_eq!(mapping.first_difference(250), None);

        let place = device.place_of_32(mapping.address())?;
        assert_eq!((place.offset, place.count), (index, PAGES as u32));

        device.set_notify_32(index + BYTE as u64, notify::CLEAR_BYTE, 0)?;
        mapping.write(BYTE, 0x77);
        mapping.unmap()?;
        device.remove_32(index, PAGES as u32)?;
        let again = device.remove_32(index, PAGES as u32);
        assert_error(again, ENOENT, "removed again");
        assert_released(&share.grants);
        assert_eq!(world.granter.read(&share, BYTE)?, 0);
        Ok(())
    },

    #[rule("a 32-bit program copies, and sets half of each address")]
    #[expect_c_differs("fails with ENOTTY")]
    fn copy(world: &mut World) -> Verdict {
        /// More pages than a batch has segments.
        const PAGES: usize = 300;
        require_x86()?;
        let share = world.share(PAGES)?;
        world.granter.fill(&share, 251)?;
        let device = Gntdev::open()?;
        let local = LowMemory::new(PAGES)?;
        let from_grant = |page: usize, grant| Segment {
            source: End::Grant(grant, 0),
            destination: End::Local(&local, page * PAGE_SIZE),
            length: PAGE_SIZE as u16,
        };
        let mut segments: Vec<_> = share
            .grants
            .iter()
            .enumerate()
            .map(|(page, grant)| from_grant(page, *grant))
            .collect();
        assert_eq!(device.copy_32(&segments)?, [OKAY; PAGES]);
        assert_eq!(local.first_difference(251), None);

        let nothing = GrantRef {
            domid: world.granter.domid(),
            reference: BEYOND_TABLE,
        };
        segments[1] = from_grant(1, nothing);
        assert_eq!(device.copy_32(&segments[..3])?, [OKAY, BAD_REFERENCE, OKAY]);

        local.fill(252);
        let to_grant: Vec<_> = share
            .grants
            .iter()
            .enumerate()
            .map(|(page, grant)| Segment {
                source: End::Local(&local, page * PAGE_SIZE),
                destination: End::Grant(*grant, 0),
                length: PAGE_SIZE as u16,
            })
            .collect();
        assert_eq!(device.copy_32(&to_grant)?, [OKAY; PAGES]);
        world.assert_granter_sees(&share, 252);
        Ok(())
    },

    #[rule("the number of a grant copy is that of the program's structure")]
    #[expect_c_differs("has no requests of 32-bit programs")]
    fn copy_numbers(_: &mut World) -> Verdict {
        require_x86()?;
        let device = Gntdev::open()?;
        let mut argument = [0; 4];
        let result = device.request_32(Request::GRANT_COPY, &mut argument);
        assert_error(result, ENOTTY, "64-bit number, 32-bit program");
        let memory = LowMemory::new(1)?;
        let result = device.request_at(Request::GRANT_COPY_32, &memory, 0);
        assert_error(result, ENOTTY, "32-bit number, 64-bit program");
        assert!(device.copy_32(&[])?.is_empty());
        assert_error(device.copy_at_null_32(1), EFAULT, "no segments");
        Ok(())
    },

    #[rule("a 32-bit program exports grants as a dma-buf")]
    #[expect_c_differs("fails with ENOTTY")]
    fn export(world: &mut World) -> Verdict {
        const PAGES: usize = 3;
        require_x86()?;
        let share = world.share(PAGES)?;
        world.granter.fill(&share, 253)?;
        let device = Gntdev::open()?;
        let buffer = device.export_32(0, world.granter.domid(), &share.references())?;
        assert_eq!(buffer.map(PAGES)?.first_difference(253), None);
        let mut wait = [buffer.number(), 60_000];
        drop(buffer);
        // The buffer may have gone before the call: then there is none of that number.
        if let Err(error) = device.request_32(Request::DMABUF_WAIT_RELEASED, &mut wait) {
            assert_error::<(), _>(Err(error), ENOENT, "waiting for the release");
        }
        assert_released(&share.grants);
        Ok(())
    }
];

/// Skips the case where a program cannot make system calls of two kinds.
fn require_x86() -> Result<(), Stop> {
    if !cfg!(target_arch = "x86_64") {
        return skip_case("a 64-bit program makes no 32-bit system calls here");
    }
    Ok(())
}
