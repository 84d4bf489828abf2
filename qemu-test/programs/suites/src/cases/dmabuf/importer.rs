// SPDX-License-Identifier: GPL-2.0

//! Device that imports an export and cannot reach its memory, so that all data that it reads and
//! writes are copied.
//!
//! The kernel must have been booted with `swiotlb=force`, so that the device has bounce buffers.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use guest_test::fence::DeviceWork;
use guest_test::gntdev::Gntdev;
use guest_test::grant_dma_buf::memory::WRITE_COMBINE;
use guest_test::importer::Direction;
use guest_test::importer::Importer;
use guest_test::importer::Layout;
use guest_test::ktap::Verdict;
use xen_grants::dma_buf::CpuAccess;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::PAGE_SIZE;

use super::buffers::assert_ends;
use super::buffers::exported;
use super::buffers::exported_as;
use super::buffers::Exported;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use super::pictures::Fragmented;
use super::pictures::Picture;
use crate::suite::rules;
use crate::world::assert_released;
use crate::world::World;

/// A byte of the second page.
const AT: u32 = PAGE_SIZE as u32 + 77;

rules![
    #[rule("data that a device wrote is in the memory when it unmaps the buffer")]
    #[expect_c_differs(NO_EXPORT)]
    fn written_at_unmap(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            for direction in [Direction::Bidirectional, Direction::FromDevice] {
                let held = exported_as(world, flags, 2, 1700)?;
                let importer = Importer::attach(&held.buffer)?;
                map_bouncing(&importer, 0, direction)?;
                let value = !world.granter.read(&held.share, AT as usize)?;
                importer.write(0, AT, value)?;
                importer.unmap(0)?;
                let found = world.granter.read(&held.share, AT as usize)?;
                assert_eq!(found, value, "{direction:?}, {kind} memory");
            }
        }
        Ok(())
    },

    #[rule("a device finds what it wrote when it maps the buffer again")]
    #[expect_c_differs(NO_EXPORT)]
    fn found_at_map(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1701)?;
        let importer = Importer::attach(&held.buffer)?;
        for value in 1..5 {
            map_bouncing(&importer, 0, Direction::Bidirectional)?;
            importer.write(0, AT, value)?;
            importer.unmap(0)?;
            map_bouncing(&importer, 0, Direction::Bidirectional)?;
            assert_eq!(importer.read(0, AT)?, value);
            importer.unmap(0)?;
        }
        Ok(())
    },

    #[rule("a device that only reads leaves the memory as it is")]
    #[expect_c_differs(NO_EXPORT)]
    fn only_reads(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1702)?;
        let importer = Importer::attach(&held.buffer)?;
        map_bouncing(&importer, 0, Direction::ToDevice)?;
        world.granter.fill(&held.share, 1703)?;
        importer.unmap(0)?;
        world.assert_granter_sees(&held.share, 1703);
        Ok(())
    },

    #[rule("a device that maps the buffer sees what the granter wrote before")]
    #[expect_c_differs(NO_EXPORT)]
    fn granter_wrote(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1704)?;
        let importer = Importer::attach(&held.buffer)?;
        for direction in [Direction::Bidirectional, Direction::ToDevice] {
            for value in [3, 250] {
                world.granter.write(&held.share, AT as usize, value)?;
                map_bouncing(&importer, 0, direction)?;
                assert_eq!(importer.read(0, AT)?, value, "{direction:?}");
                importer.unmap(0)?;
            }
        }
        Ok(())
    },

    #[rule("a device maps the buffer in one direction after the other")]
    #[expect_c_differs(NO_EXPORT)]
    fn other_direction(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1705)?;
        let importer = Importer::attach(&held.buffer)?;
        for direction in [
            Direction::ToDevice,
            Direction::FromDevice,
            Direction::Bidirectional,
            Direction::ToDevice,
        ] {
            map_bouncing(&importer, 0, direction)?;
            importer.unmap(0)?;
        }
        Ok(())
    },

    /// Each mapping has its own bounce buffers.
    #[rule("a device maps the buffer several times at once")]
    #[expect_c_differs(NO_EXPORT)]
    fn several_mappings(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1706)?;
        let importer = Importer::attach(&held.buffer)?;
        let directions = [
            Direction::ToDevice,
            Direction::FromDevice,
            Direction::Bidirectional,
            Direction::ToDevice,
        ];
        for (slot, direction) in (0..).zip(directions) {
            map_bouncing(&importer, slot, direction)?;
        }
        let value = !world.granter.read(&held.share, AT as usize)?;
        importer.write(1, AT, value)?;
        importer.unmap(1)?;
        assert_eq!(world.granter.read(&held.share, AT as usize)?, value);
        for slot in [0, 3] {
            assert_ne!(importer.read(slot, AT)?, value, "before the CPU's access");
        }
        held.buffer.end_access(CpuAccess::Write)?;
        for slot in [0, 2, 3] {
            assert_eq!(importer.read(slot, AT)?, value, "slot {slot}");
        }
        Ok(())
    },

    #[rule("accesses of the CPU bring data to and from a device that has the buffer mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn cpu_access(world: &mut World) -> Verdict {
        let held = exported(world, 2, 1707)?;
        let mapping = held.buffer.map(2)?;
        let importer = Importer::attach(&held.buffer)?;
        map_bouncing(&importer, 0, Direction::Bidirectional)?;
        let value = !mapping.read(AT as usize);
        importer.write(0, AT, value)?;
        assert_ne!(mapping.read(AT as usize), value, "before the access");
        let found = held
            .buffer
            .access(CpuAccess::Read, || mapping.read(AT as usize))?;
        assert_eq!(found, value);

        let write = || mapping.write(AT as usize, !value);
        held.buffer.access(CpuAccess::Write, write)?;
        assert_eq!(importer.read(0, AT)?, !value);
        Ok(())
    },

    /// A copy before the device is done would have the old data.
    #[rule("a CPU's access waits for the device before data is copied")]
    #[expect_c_differs(NO_EXPORT)]
    fn fence(world: &mut World) -> Verdict {
        const DEVICE_TAKES: Duration = Duration::from_millis(500);
        for access in [CpuAccess::Read, CpuAccess::ReadWrite] {
            let held = exported(world, 2, 1708)?;
            let mapping = held.buffer.map(2)?;
            let importer = Importer::attach(&held.buffer)?;
            map_bouncing(&importer, 0, Direction::Bidirectional)?;
            let value = !mapping.read(AT as usize);
            let work = DeviceWork::begin(&held.buffer)?;
            let found = thread::scope(|scope| -> io::Result<u8> {
                let device = scope.spawn(|| -> io::Result<()> {
                    thread::sleep(DEVICE_TAKES);
                    importer.write(0, AT, value)?;
                    work.end()
                });
                held.buffer.begin_access(access)?;
                let found = mapping.read(AT as usize);
                device.join().expect("the device's thread")?;
                Ok(found)
            })?;
            assert_eq!(found, value, "{access:?}");
            held.buffer.end_access(access)?;
        }
        Ok(())
    },

    /// The request with an offset exists to set the offset in the list.
    #[rule("a device's list is made of whole pages, but for an offset within one")]
    #[expect_c_differs(NO_EXPORT)]
    fn alignment(world: &mut World) -> Verdict {
        let share = world.share(3)?;
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        let page = PAGE_SIZE as u32;
        for (offset, is_aligned) in [(0, true), (page, true), (2 * page, true), (64, false)] {
            for (flags, kind) in KINDS {
                let buffer = device.export_at(offset, flags, domid, &share.references())?;
                let importer = Importer::attach(&buffer)?;
                let layout = importer.map(0, Direction::Bidirectional)?;
                assert_eq!(
                    layout.is_aligned, is_aligned,
                    "offset {offset}, {kind} memory"
                );
            }
        }
        Ok(())
    },

    #[rule("the kernel has a buffer at contiguous addresses")]
    #[expect_c_differs(NO_EXPORT)]
    fn kernel_view(world: &mut World) -> Verdict {
        for (flags, kind) in KINDS {
            let Exported {
                device,
                share,
                buffer,
            } = exported_as(world, flags, 64, 1709)?;
            assert_cpu_sees(&buffer, 64, kind)?;
            let number = buffer.number();
            drop(buffer);
            assert_ends(&device, number);
            assert_released(&share.grants);
        }
        Ok(())
    },

    #[rule("the kernel has a buffer at contiguous addresses when its frames are not")]
    #[long]
    #[expect_c_differs(NO_EXPORT)]
    fn kernel_view_of_fragments(world: &mut World) -> Verdict {
        const PAGES: usize = 500;
        let _fragmented = Fragmented::new(world)?;
        let mut picture = Picture::new(world, PAGES, 1710)?;
        for flags in [0, WRITE_COMBINE] {
            let device = Gntdev::open()?;
            let buffer = picture.export(world, &device, flags)?;
            for _ in 0..3 {
                assert_cpu_sees(&buffer, PAGES, &format!("flags {flags}"))?;
                picture.assert_written(world, &buffer)?;
            }
            // Contiguous frames need no range, and would not have tested anything.
            assert!(has_view_of_driver()?, "no range of the driver's own");
            let number = buffer.number();
            drop(buffer);
            assert_ends(&device, number);
            picture.assert_released();
            assert!(!has_view_of_driver()?, "the driver's range has not ended");
        }
        Ok(())
    }
];

/// Maps a buffer for a device, and fails the case unless it has bounce buffers: without them the
/// rules of this file test nothing.
fn map_bouncing(importer: &Importer, slot: u32, direction: Direction) -> io::Result<()> {
    let Layout { bounces, .. } = importer.map(slot, direction)?;
    assert!(bounces, "no bounce buffers: not booted with swiotlb=force");
    Ok(())
}

/// Fails the case unless a driver in the kernel sees what a program sees.
fn assert_cpu_sees(buffer: &DmaBuf, pages: usize, what: &str) -> io::Result<()> {
    let expected = Picture::bytes(buffer, pages)?;
    let found = Importer::attach(buffer)?.read_by_cpu(pages * PAGE_SIZE)?;
    let difference = (0..expected.len()).find(|at| expected[*at] != found[*at]);
    assert_eq!(difference, None, "{what}");
    Ok(())
}

/// Returns `true` if the driver of the grant device has a range of kernel addresses mapped.
fn has_view_of_driver() -> io::Result<bool> {
    let ranges = fs::read_to_string("/proc/vmallocinfo")?;
    Ok(ranges
        .lines()
        .filter(|line| line.contains("[xen_gntdev_rust]"))
        .any(|line| line.contains(" vmap") || line.contains(" sparse")))
}
