// SPDX-License-Identifier: GPL-2.0

//! Calls by which a driver in the kernel uses an export, made by the importer for tests.

use guest_test::gntdev::Gntdev;
use guest_test::importer::Direction;
use guest_test::importer::Importer;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::platform::MemoryModel;

use crate::cases::dmabuf::pictures::Fragmented;
use crate::cases::dmabuf::pictures::Picture;
use crate::faults::walk;
use crate::faults::Failure;
use crate::suite::rules;
use crate::world::World;

/// Number of pages of the buffers: more than there are adjacent frames after [`Fragmented`].
const PAGES: usize = 16;

rules![
    #[rule("mapping an export for a device fails at each point")]
    #[long]
    fn map_for_device(world: &mut World) -> Verdict {
        let picture = Picture::new(world, PAGES, 620)?;
        walk(
            "dma_buf_map_attachment() of an export",
            &[Failure::NO_MEMORY],
            || attached(world, &picture),
            |importer| {
                let layout = importer.map(0, Direction::Bidirectional);
                layout.map_err(Failure::of)
            },
            |importer, _| Ok(importer.unmap(0)?),
        )
    },

    /// In a paravirtual domain Xen maps the grants a second time. The framework warns of the first
    /// failure, which is in the baseline of the log check.
    #[rule("dma_buf_vmap() of an export whose frames are not adjacent fails at each point")]
    #[long]
    fn vmap(world: &mut World) -> Verdict {
        let expected: &[Failure] = match world.model {
            MemoryModel::Paravirtual => &[Failure::NO_MEMORY, Failure::REFUSED],
            MemoryModel::AutoTranslated => &[Failure::NO_MEMORY],
        };
        let _fragmented = Fragmented::new(world)?;
        let picture = Picture::new(world, PAGES, 621)?;
        walk(
            "dma_buf_vmap() of an export",
            expected,
            || attached(world, &picture),
            |importer| importer.read_by_cpu(1).map_err(Failure::of),
            |_, _| Ok(()),
        )
    }
];

/// An export of the pages of `picture`, attached to the importer, which keeps it.
pub(super) fn attached(world: &World, picture: &Picture) -> Result<Importer, Stop> {
    let buffer = picture.export(world, &Gntdev::open()?, 0)?;
    Ok(Importer::attach(&buffer)?)
}
