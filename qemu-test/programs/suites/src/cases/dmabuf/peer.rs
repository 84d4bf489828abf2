// SPDX-License-Identifier: GPL-2.0

//! Memory of a dma-buf in one domain as a dma-buf in the other, and grants that the peer still has
//! mapped when they end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use guest_test::errno::ENOENT;
use guest_test::gntdev::Gntdev;
use guest_test::inspect::Inspect;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::pattern::Pattern;
use guest_test::process::End;
use guest_test::signal::SIGKILL;
use xen_grants::dma_buf::CpuAccess;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::buffers::exported;
use super::buffers::file_buffer;
use super::buffers::imported;
use super::buffers::Imported;
use super::buffers::KINDS;
use super::buffers::NO_EXPORT;
use crate::granter::grants_of;
use crate::granter::Access;
use crate::step::staying_child;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::wait::settle;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::Source;
use crate::world::World;

rules![
    #[rule("a dma-buf of the peer becomes one here")]
    #[expect_c_differs(NO_EXPORT)]
    fn buffer_to_buffer(world: &mut World) -> Verdict {
        let domid = world.granter.domid();
        for (pages, seed) in [(1, 900), (3, 910), (64, 920), (512, 930)] {
            for (flags, kind) in KINDS {
                let share = world.granter.share_file(pages)?;
                world.granter.fill(&share, seed)?;
                let device = Gntdev::open()?;
                let buffer = device.export(flags, domid, &share.references())?;
                assert_eq!(buffer.size()?, (pages * PAGE_SIZE) as u64);
                let mapping = buffer.map(pages)?;
                buffer.begin_access(CpuAccess::ReadWrite)?;
                let difference = mapping.first_difference(seed);
                assert_eq!(difference, None, "{pages} pages, {kind} memory");
                mapping.fill(seed + 1);
                buffer.end_access(CpuAccess::ReadWrite)?;
                world.assert_granter_sees(&share, seed + 1);
                drop((mapping, buffer));
                assert_released(&share.grants);
                world.granter.unshare(share)?;
            }
        }
        Ok(())
    },

    #[rule("a dma-buf of ours becomes one of the peer's")]
    #[expect_c_differs(NO_EXPORT)]
    fn buffer_of_ours(world: &mut World) -> Verdict {
        for (pages, seed) in [(1, 970), (3, 980), (64, 990)] {
            for (flags, kind) in KINDS {
                let held = imported(world, pages, seed)?;
                let peer = world.granter.export(&held.references, flags)?;
                assert_eq!(in_use(&held.grants())?, pages, "{kind} memory");
                world.assert_granter_sees(&peer, seed);
                world.granter.fill(&peer, seed + 1)?;
                let difference = held.contents.first_difference(seed + 1);
                assert_eq!(difference, None, "{pages} pages, {kind} memory");
                held.contents.fill(seed + 2);
                world.assert_granter_sees(&peer, seed + 2);
                world.granter.unshare(peer)?;
                assert_released(&held.grants());
                held.device.release_import(held.number())?;
            }
        }
        Ok(())
    },

    /// The peer's kernel keeps the pages for as long as they are mapped.
    #[rule("it is mapped until it is closed, although the peer releases")]
    #[expect_c_differs(NO_EXPORT)]
    fn peer_releases_first(world: &mut World) -> Verdict {
        let share = world.granter.share_file(2)?;
        world.granter.fill(&share, 940)?;
        let grants = share.grants.clone();
        let device = Gntdev::open()?;
        let buffer = device.export(0, world.granter.domid(), &share.references())?;
        let mapping = buffer.map(2)?;
        world.granter.unshare(share)?;
        assert_eq!(in_use(&grants)?, 2);
        // Other data for memory that has become free.
        let other = world.granter.share_file(512)?;
        world.granter.fill(&other, 941)?;
        assert_eq!(mapping.first_difference(940), None);
        world.granter.unshare(other)?;
        drop((mapping, buffer));
        assert_released(&grants);
        Ok(())
    },

    /// The pages belong to the granter's domain, so the hypervisor does not let this one grant
    /// them.
    #[rule("another domain's pages cannot be granted on")]
    #[expect_c_differs(NO_EXPORT)]
    fn granted_on(world: &mut World) -> Verdict {
        let held = exported(world, 2, 945)?;
        if world.source == Source::Own {
            return skip_case("these pages are this domain's own");
        }
        let domid = world.granter.domid();
        if let Ok(references) = held.device.import(&held.buffer, domid, 2) {
            for reference in references {
                let result = world.granter.map(&[reference], Access::ReadOnly);
                assert!(
                    result.is_err(),
                    "the domain can map its page as one of ours"
                );
            }
            held.device.release_import(held.buffer.number())?;
        }
        world.assert_granter_sees(&held.share, 945);
        assert_eq!(held.buffer.map(2)?.first_difference(945), None);
        drop(held.buffer);
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("pages that the peer has mapped are released all the same")]
    fn mapped_at_release(world: &mut World) -> Verdict {
        let held = imported(world, 4, 950)?;
        let peer = world.granter.map(&held.references, Access::ReadWrite)?;
        assert_eq!(in_use(&held.grants())?, 4);
        held.device.release_import(held.number())?;
        let result = held.device.release_import(held.number());
        assert_error(result, ENOENT, "a second release");

        // The peer's mapping is as before.
        assert_eq!(in_use(&held.grants())?, 4);
        world.assert_granter_sees(&peer, 950);
        world.granter.fill(&peer, 951)?;
        assert_eq!(held.contents.first_difference(951), None);
        world.granter.unshare(peer)?;
        assert_released(&held.grants());
        assert_ended(world, &held.references)
    },

    #[rule("references that the peer has mapped are not used again")]
    fn not_used_again(world: &mut World) -> Verdict {
        let held = imported(world, 4, 952)?;
        let peer = world
            .granter
            .map(&held.references[1..3], Access::ReadWrite)?;
        held.device.release_import(held.number())?;

        let kept = &held.references[1..3];
        let domid = world.granter.domid();
        let (_, other) = file_buffer(64)?;
        let mut others = Vec::new();
        for _ in 0..8 {
            others.extend(held.device.import(&other, domid, 64)?);
        }
        // The kernel tries every second to end these grants, and must find them in use.
        thread::sleep(Duration::from_millis(2500));
        others.extend(held.device.import(&other, domid, 64)?);
        let again = kept.iter().find(|reference| others.contains(reference));
        assert_eq!(again, None, "a reference is used again");
        assert_eq!(in_use(&held.grants())?, 2);
        for at in [0, 77, 2 * PAGE_SIZE - 1] {
            let expected = held.contents.read(PAGE_SIZE + at);
            assert_eq!(world.granter.read(&peer, at)?, expected, "byte {at}");
        }

        world.granter.unshare(peer)?;
        assert_released(&held.grants());
        let kept = kept.to_vec();
        for _ in 0..9 {
            held.device.release_import(other.number())?;
        }
        assert_ended(world, &kept)
    },

    /// The peer neither sees nor changes the data that this domain puts next into its memory.
    #[rule("memory that the peer has mapped is not used again")]
    fn memory_not_used_again(world: &mut World) -> Verdict {
        const PAGES: usize = 16;
        let Imported {
            device,
            contents,
            buffer,
            references,
        } = imported(world, PAGES, 960)?;
        let grants = grants_of(DOM0, &references);
        let peer = world.granter.map(&references, Access::ReadWrite)?;
        device.release_import(buffer.number())?;
        drop((contents, buffer, device));

        let others = MemoryFile::new(1024)?;
        let others = others.map()?;
        others.fill(961);
        world.assert_granter_sees(&peer, 960);
        world.granter.fill(&peer, 962)?;
        assert_eq!(others.first_difference(961), None, "the peer wrote to it");
        world.granter.unshare(peer)?;
        assert_released(&grants);
        assert_ended(world, &references)
    },

    #[rule("a buffer stays attached while the peer has a page of it mapped")]
    #[expect_c_differs("lets go of the buffer")]
    fn stays_attached(world: &mut World) -> Verdict {
        let held = imported(world, 4, 957)?;
        assert!(is_attached(&held.buffer)?, "before the release");
        let peer = world
            .granter
            .map(&held.references[2..3], Access::ReadWrite)?;
        held.device.release_import(held.number())?;
        assert!(is_attached(&held.buffer)?, "after the release");
        thread::sleep(Duration::from_millis(500));
        assert!(is_attached(&held.buffer)?, "a while after the release");
        world.granter.fill(&peer, 958)?;
        world.granter.unshare(peer)?;
        assert_released(&held.grants());
        let attached = settle(PATIENCE, || is_attached(&held.buffer), |attached| !attached)?;
        assert!(!attached, "after the peer has let go");
        assert_ended(world, &held.references)
    },

    #[rule("the peer has pages mapped when the device closes")]
    fn mapped_at_close(world: &mut World) -> Verdict {
        let Imported {
            device,
            contents,
            buffer,
            references,
        } = imported(world, 3, 953)?;
        let grants = grants_of(DOM0, &references);
        let peer = world.granter.map(&references, Access::ReadWrite)?;
        drop(device);
        assert_eq!(in_use(&grants)?, 3);
        world.assert_granter_sees(&peer, 953);
        world.granter.fill(&peer, 954)?;
        assert_eq!(contents.first_difference(954), None);
        drop(buffer);
        world.granter.unshare(peer)?;
        assert_released(&grants);
        assert_ended(world, &references)
    },

    /// Another process imports and ends while the peer has its pages mapped. This process has the
    /// file in memory too, so the pages are not freed.
    #[rule("the peer has pages mapped when the process ends")]
    fn mapped_at_exit(world: &mut World) -> Verdict {
        const PAGES: usize = 3;
        let domid = world.granter.domid();
        let (contents, buffer) = file_buffer(PAGES)?;
        contents.fill(955);
        // The child returns its references in shared memory.
        let answer = mapping::shared(1)?;
        let mut child = staying_child(|report| {
            let device = Gntdev::open().expect("open");
            let references = device.import(&buffer, domid, PAGES).expect("import");
            for (index, reference) in references.iter().enumerate() {
                answer.write_all(index * 4, &reference.to_le_bytes());
            }
            report.send_and_stay();
        })?;
        let references: Vec<u32> = (0..PAGES)
            .map(|index| {
                let bytes = answer.read_vec(index * 4, 4);
                u32::from_le_bytes(bytes.try_into().expect("four bytes"))
            })
            .collect();
        let grants = grants_of(DOM0, &references);
        let peer = world.granter.map(&references, Access::ReadWrite)?;
        child.kill()?;
        let end = child.wait(PATIENCE)?;
        assert_eq!(end, Some(End::Signalled(SIGKILL)));
        assert_eq!(in_use(&grants)?, PAGES);
        world.granter.fill(&peer, 956)?;
        assert_eq!(contents.first_difference(956), None);
        world.granter.unshare(peer)?;
        assert_released(&grants);
        assert_ended(world, &references)
    }
];

/// Waits until the peer can map none of the references. The kernel tries every second to end them,
/// and no event tells of its success; a mapping between two tries would make the next one fail.
fn assert_ended(world: &mut World, references: &[u32]) -> Verdict {
    let deadline = Instant::now() + PATIENCE;
    for reference in references {
        while let Ok(peer) = world.granter.map(&[*reference], Access::ReadOnly) {
            world.granter.unshare(peer)?;
            assert!(
                Instant::now() < deadline,
                "reference {reference} is still granted"
            );
            thread::sleep(Duration::from_millis(1500));
        }
    }
    Ok(())
}

/// Returns `true` if the kernel has the buffer attached for other domains. The exporter may move or
/// reuse the memory of a buffer without attachments.
fn is_attached(buffer: &DmaBuf) -> io::Result<bool> {
    let inode = buffer.metadata()?.ino();
    let buffers = fs::read_to_string("/sys/kernel/debug/dma_buf/bufinfo")?;
    // A buffer has a line of its own, and one for each attached device.
    let found = buffers.split("devices attached").find(|text| {
        text.lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .any(|word| word.parse() == Ok(inode))
    });
    let found = found.ok_or(io::ErrorKind::NotFound)?;
    Ok(found.lines().any(|line| line.trim() == "xen-gntdev-peer"))
}
