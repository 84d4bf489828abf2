// SPDX-License-Identifier: GPL-2.0

//! Grant references of this domain, of which an import takes one for each page. There are as many
//! as the domain's grant table has entries.

use std::io;

use guest_test::errno::ENOSPC;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::memory_file::MemoryFile;
use xen_grants::PAGE_SIZE;

use crate::granter::Access;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

/// Pages of the file that is imported again and again.
const PAGES: usize = 4096;

/// Sizes of imports. udmabuf takes single pages of a file up to 1,024 at once.
const SIZES: [usize; 7] = [PAGES, 1024, 256, 64, 16, 4, 1];

rules![
    #[rule("an import without enough grant references is ENOSPC, and the others go on")]
    #[long]
    fn used_up(world: &mut World) -> Verdict {
        let file = MemoryFile::new(PAGES)?;
        let first_page: Vec<u8> = (0..PAGE_SIZE).map(|at| pattern(840, at)).collect();
        file.map()?.write_all(0, &first_page);
        let all = take_all(world, &file)?;

        // Nobody else gets one. (Linux's gntalloc is not asked: it counts a grant that it cannot
        // make as two that have ended, and may refuse all others from then on.)
        let other = Gntdev::open()?;
        let domid = world.granter.domid();
        assert_error(
            other.import(&file.dma_buf()?, domid, PAGES),
            ENOSPC,
            "another device",
        );
        // The first page of the file, by the first import and by the last.
        for references in [&all.first, &all.last] {
            let peer = world.granter.map(references, Access::ReadWrite)?;
            world.assert_granter_sees(&peer, 840);
            world.granter.unshare(peer)?;
        }

        // The references of one import are enough for another one of its size.
        let device = &all.device;
        device.release_import(all.buffers[0].number())?;
        let references = device.import(&all.buffers[0], domid, PAGES)?;
        assert_eq!(references.len(), PAGES);
        let again = device.import(&all.buffers[0], domid, PAGES);
        assert_error(again, ENOSPC, "the same buffer once more");
        let count = all.count;
        drop(all);

        // The imports that failed have kept none. Others may have given some back meanwhile.
        let again = take_all(world, &file)?;
        let second = again.count;
        assert!(second >= count, "{second} references, {count} before");
        Ok(())
    }
];

/// Imports that take all grant references. They end when the device is closed.
struct All {
    device: Gntdev,
    buffers: Vec<DmaBuf>,
    /// The first reference of the first import, and of the last.
    first: Vec<u32>,
    last: Vec<u32>,
    /// Number of references.
    count: usize,
}

/// Imports `file`, and then parts of it, until there is no reference for a single page.
fn take_all(world: &World, file: &MemoryFile) -> io::Result<All> {
    /// More than any grant table has entries.
    const LIMIT: usize = 1 << 22;
    let mut all = All {
        device: Gntdev::open()?,
        buffers: Vec::new(),
        first: Vec::new(),
        last: Vec::new(),
        count: 0,
    };
    for pages in SIZES {
        loop {
            let buffer = match pages {
                PAGES => file.dma_buf()?,
                _ => file.dma_buf_of(&(0..pages).collect::<Vec<_>>())?,
            };
            let result = all.device.import(&buffer, world.granter.domid(), pages);
            let Ok(references) = result else {
                assert_error(result, ENOSPC, &format!("importing {pages} pages"));
                break;
            };
            all.buffers.push(buffer);
            all.count += references.len();
            assert!(all.count < LIMIT, "{} references", all.count);
            all.last = vec![references[0]];
            if all.first.is_empty() {
                all.first = all.last.clone();
            }
        }
    }
    println!("# {} grant references", all.count);
    assert!(all.count >= PAGES, "{} grant references", all.count);
    Ok(all)
}
