// SPDX-License-Identifier: GPL-2.0

//! Ends of mappings at which the hypervisor does not unmap a grant: the driver counts the loss, and
//! goes on.
//!
//! The grants of these rules stay mapped until the machine ends. The driver does not use their
//! frames again.

use std::io;

use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;

use crate::cases::dmabuf::pictures::Fragmented;
use crate::cases::dmabuf::pictures::Picture;
use crate::cases::faults::kernel_users::attached;
use crate::faults::walk_end;
use crate::granter::BEYOND_TABLE;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::in_use;
use crate::world::World;

/// Number of pages of the regions and of the buffers.
const PAGES: usize = 2;

/// Number of pages of a buffer that the kernel maps once more: more than there are adjacent frames
/// after [`Fragmented`].
const PAGES_OF_VIEW: usize = 16;

rules![
    #[rule("grants that munmap() of an export cannot unmap are counted as lost")]
    #[long]
    fn unmap_export(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated process has the frames of the export mapped");
        }
        let losses = walk_end(
            "munmap of an export",
            || {
                let share = world.share(PAGES)?;
                let device = Gntdev::open()?;
                let domid = world.granter.domid();
                let buffer = device.export(0, domid, &share.references())?;
                Ok((buffer.map(PAGES)?, share.grants))
            },
            drop,
            |grants| in_use(&grants),
        )?;
        assert!(losses.handles > 0, "no point lost a handle");
        works(world)
    },

    #[rule("grants that the end of an export cannot unmap are counted as lost")]
    #[long]
    fn close_export(world: &mut World) -> Verdict {
        let losses = walk_end(
            "close of an export",
            || {
                let share = world.share(PAGES)?;
                let device = Gntdev::open()?;
                let domid = world.granter.domid();
                let buffer = device.export(0, domid, &share.references())?;
                Ok((buffer, share.grants))
            },
            drop,
            |grants| in_use(&grants),
        )?;
        assert!(losses.handles > 0, "no point lost a handle");
        works(world)
    },

    /// The file is closed before, so that this is the end of the region, too.
    #[rule("grants that munmap() of a region cannot unmap are counted as lost")]
    #[long]
    fn unmap_region(world: &mut World) -> Verdict {
        let losses = walk_end(
            "munmap of a region",
            || {
                let held = world.mapped(PAGES, 610)?;
                drop(held.device);
                Ok((held.mapping, held.share.grants))
            },
            drop,
            |grants| in_use(&grants),
        )?;
        assert!(losses.handles > 0, "no point lost a handle");
        works(world)
    },

    /// The kernel changes the entry all the same, and the end of the region unmaps it there.
    #[rule("grants that mprotect() cannot unmap are unmapped at the end of the region")]
    #[long]
    fn protect_region(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated mapping keeps its pages");
        }
        let losses = walk_end(
            "mprotect of a region",
            || {
                let held = world.mapped(PAGES, 613)?;
                Ok(((held.device, held.mapping), held.share.grants))
            },
            |(device, mapping)| {
                mapping.protect(Protection::Read).expect("mprotect()");
                (device, mapping)
            },
            |grants| in_use(&grants),
        )?;
        assert!(losses.refused > 0, "no point refused an unmap");
        works(world)
    },

    #[rule("grants that the end of dma_buf_vmap() cannot unmap are counted as lost")]
    #[long]
    fn unmap_view(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated kernel maps the frames, not the grants");
        }
        let _fragmented = Fragmented::new(world)?;
        let losses = walk_end(
            "end of dma_buf_vmap() of an export",
            || {
                let picture = Picture::new(world, PAGES_OF_VIEW, 614)?;
                let importer = attached(world, &picture)?;
                importer.read_by_cpu(1)?;
                Ok((importer, picture.grants()))
            },
            drop,
            |grants| in_use(&grants),
        )?;
        assert!(losses.handles > 0, "no point lost a handle");
        works(world)
    },

    /// The unmapping is repeated at the end of the region, and then succeeds.
    #[rule("grants that a failed mmap() cannot unmap are unmapped at the end of the region")]
    #[long]
    fn undo_kernel(world: &mut World) -> Verdict {
        let losses = walk_end(
            "failed mmap of a region, in the kernel",
            || {
                let share = world.share(PAGES)?;
                let bad = GrantRef {
                    reference: BEYOND_TABLE,
                    ..share.grants[0]
                };
                let regions = inserted(&[&share.grants[..], &[bad]].concat())?;
                Ok((regions, share.grants))
            },
            fail_to_map,
            |grants| in_use(&grants),
        )?;
        assert!(losses.refused > 0, "no point refused an unmap");
        assert_eq!(losses.handles, 0, "handles lost");
        works(world)
    },

    /// Xen allows at least 128 mappings of a grant, and no 256. So it allows those of the kernel,
    /// and the first one of the process, which cannot be unmapped at one point.
    #[rule("grants that a failed mmap() cannot unmap from the process are counted as lost")]
    #[long]
    fn undo_process(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("the grants of an auto-translated process are those of the kernel");
        }
        let losses = walk_end(
            "failed mmap of a region, in the process",
            || {
                let share = world.share(2)?;
                let mut grants = vec![share.grants[1]; 128];
                grants.insert(0, share.grants[0]);
                Ok((inserted(&grants)?, share.grants))
            },
            fail_to_map,
            |grants| in_use(&grants),
        )?;
        assert!(losses.handles > 0, "no point lost a handle");
        works(world)
    }
];

/// A file with a region of `grants`, and the number of them.
fn inserted(grants: &[GrantRef]) -> io::Result<(Gntdev, usize)> {
    let device = Gntdev::open()?;
    assert_eq!(device.insert(grants)?, 0);
    Ok((device, grants.len()))
}

/// Tries to map a region that cannot be mapped, and closes its file.
fn fail_to_map((device, count): (Gntdev, usize)) {
    let result = device.map(0, count, Protection::ReadWrite);
    assert!(result.is_err(), "the region is mapped");
}

/// Fails the case unless other grants can be mapped.
fn works(world: &mut World) -> Verdict {
    let held = world.mapped(PAGES, 611)?;
    assert_eq!(held.mapping.first_difference(611), None);
    held.mapping.fill(612);
    world.assert_granter_sees(&held.share, 612);
    held.mapping.unmap()?;
    Ok(())
}
