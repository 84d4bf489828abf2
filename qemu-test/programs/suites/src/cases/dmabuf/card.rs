// SPDX-License-Identifier: GPL-2.0

//! A graphics card as importer of granted pages, and as exporter of pages that are granted.

use std::fs::File;
use std::io;
use std::mem;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::Pattern;
use xen_grants::display::Card;
use xen_grants::display::Layout;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::buffers::exported_as;
use super::buffers::Exported;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use super::pictures::Fragmented;
use super::pictures::Picture;
use super::pictures::FULL_HD;
use super::pictures::ULTRA_HD;
use crate::granter::grants_of;
use crate::granter::Access;
use crate::suite::rules;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

const CARD: &str = "/dev/dri/card0";

/// Memory of the card, which it shows from the start on.
const CARD_MEMORY: &str = "/sys/class/drm/card0/device/resource0";
const CARD_MEMORY_PAGES: usize = 4096;

/// Size of the mode in which pictures are shown.
const SCREEN: (u32, u32) = (1920, 1080);

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
    },

    #[rule("a card shows pictures of any size and memory")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn shown(world: &mut World) -> Verdict {
        for (pages, width, height) in [(FULL_HD, 1920, 1080), (ULTRA_HD, 3840, 2176)] {
            let picture = Picture::new(world, pages, 1604)?;
            for (flags, kind) in KINDS {
                let what = format!("{width}x{height}, {kind} memory");
                let layout = Layout {
                    width,
                    height,
                    pitch: width * 4,
                };
                assert_shown(world, &picture, flags, layout, &what)?;
            }
        }
        Ok(())
    },

    #[rule("a card shows a picture whose frames are not contiguous")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn shown_from_fragments(world: &mut World) -> Verdict {
        let _fragmented = Fragmented::new(world)?;
        let picture = Picture::new(world, FULL_HD, 1605)?;
        for (flags, kind) in KINDS {
            let layout = Layout {
                width: 1920,
                height: 1080,
                pitch: 1920 * 4,
            };
            let what = format!("{kind} memory in fragments");
            assert_shown(world, &picture, flags, layout, &what)?;
        }
        Ok(())
    }
];

/// Shows a part of `picture` that fills the screen, and fails the case unless the memory of the
/// card then contains it. Prints the time that the card takes for frames after the first.
fn assert_shown(
    world: &World,
    picture: &Picture,
    flags: u32,
    layout: Layout,
    what: &str,
) -> Verdict {
    const FRAMES: u32 = 5;
    let card = Card::open(CARD)?;
    let device = Gntdev::open()?;
    let begin = Instant::now();
    let buffer = picture
        .export(world, &device, flags)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let exported = begin.elapsed();
    let output = card.output(SCREEN.0, SCREEN.1)?;
    let framebuffer = card.framebuffer(&buffer, layout)?;
    let memory = card_memory()?;
    spoil(&memory);
    card.show(&output, &framebuffer)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let shown = SCREEN.1 as usize * layout.pitch as usize;
    let bytes = Picture::bytes(&buffer, shown.div_ceil(PAGE_SIZE))?;
    assert_on_screen(&memory, &bytes, layout, what);

    let begin = Instant::now();
    for _ in 0..FRAMES {
        card.show(&output, &framebuffer)?;
    }
    let frame = begin.elapsed() / FRAMES;
    println!("# {what}: exported in {exported:?}, a frame in {frame:?}");
    card.switch_off(&output)?;
    drop((framebuffer, buffer));
    drop(card);
    picture.assert_released();
    Ok(())
}

/// Maps the memory of the card.
fn card_memory() -> io::Result<Mapping> {
    let file = File::options().read(true).write(true).open(CARD_MEMORY)?;
    let mapping = Mapping::of_file(&file, 0, CARD_MEMORY_PAGES, Protection::ReadWrite)?;
    Ok(mapping)
}

/// Changes bytes of each page, so that a picture that was shown before is not taken for a new one.
fn spoil(memory: &Mapping) {
    for at in (0..memory.len()).step_by(PAGE_SIZE / 4) {
        memory.write(at, !memory.read(at));
    }
}

/// Fails the case unless `memory` begins with the rows of `bytes`, as far as the screen shows them.
fn assert_on_screen(memory: &Mapping, bytes: &[u8], layout: Layout, what: &str) {
    for row in 0..SCREEN.1 as usize {
        let begin = row * layout.pitch as usize;
        let count = SCREEN.0 as usize * 4;
        let found = memory.read_vec(begin, count);
        assert!(found == bytes[begin..begin + count], "{what}: row {row}");
    }
}
