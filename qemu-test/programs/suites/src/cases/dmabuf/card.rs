// SPDX-License-Identifier: GPL-2.0

//! A graphics card as importer of granted pages, and as exporter of pages that are granted.

use std::mem;
use std::thread;
use std::time::Duration;

use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::display::Card;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::buffers::exported_as;
use super::buffers::Exported;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use crate::granter::grants_of;
use crate::granter::Access;
use crate::suite::rules;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

const CARD: &str = "/dev/dri/card0";

/// Time in which something that must not happen would happen.
const A_WHILE: Duration = Duration::from_millis(300);

rules![
    #[rule("a card's dumb buffer is granted to the peer")]
    fn dumb_buffer(world: &mut World) -> Verdict {
        let card = Card::open(CARD)?;
        let (dumb, pitch) = card.create_dumb(64, 64)?;
        let buffer = DmaBuf::from(dumb.export()?);
        let pages = buffer.size()? as usize / PAGE_SIZE;
        assert_eq!(pages, 4, "64 rows of {pitch} bytes");
        let contents = buffer.map(pages)?;
        contents.fill(1600);

        let device = Gntdev::open()?;
        let references = device.import(&buffer, world.granter.domid(), pages)?;
        let peer = world.granter.map(&references, Access::ReadWrite)?;
        world.assert_granter_sees(&peer, 1600);
        world.granter.fill(&peer, 1601)?;
        assert_eq!(contents.first_difference(1601), None);
        world.granter.unshare(peer)?;
        device.release_import(buffer.number())?;
        assert_released(&grants_of(DOM0, &references));
        Ok(())
    },

    /// Only the card holds the buffer.
    #[rule("the grants of a buffer that a card has are mapped until it lets go")]
    #[expect_c_differs(NO_EXPORT)]
    fn imported_by_card(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let card = Card::open(CARD)?;
            let Exported {
                device,
                share,
                buffer,
            } = exported_as(world, flags, 4, 1602)?;
            let imported = card.import(&buffer)?;
            drop(device);
            drop(buffer);
            thread::sleep(A_WHILE);
            assert_eq!(in_use(&share.grants)?, 4, "{kind} memory");
            drop(imported);
            assert_released(&share.grants);
        }
        Ok(())
    },

    #[rule("the grants of a buffer that a card has end with the card's file")]
    #[expect_c_differs(NO_EXPORT)]
    fn card_closed(world: &mut World) -> Verdict {
        let card = Card::open(CARD)?;
        let Exported {
            device,
            share,
            buffer,
        } = exported_as(world, 0, 4, 1603)?;
        // Only the end of the card's file shall end the import.
        mem::forget(card.import(&buffer)?);
        drop(buffer);
        assert_eq!(in_use(&share.grants)?, 4);
        drop(card);
        assert_released(&share.grants);
        drop(device);
        Ok(())
    }
];
