// SPDX-License-Identifier: GPL-2.0

//! Calls that can fail: the program gets a documented error, nothing is left, and the next call
//! works.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use guest_test::errno::ETIMEDOUT;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::notify;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Place;
use guest_test::grant_dma_buf::Import;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::mapping::MappingCalls;
use guest_test::pattern::Pattern;
use guest_test::platform::MemoryModel;
use guest_test::readiness::wait_readable;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::OKAY;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::faults::walk;
use crate::faults::walk_with;
use crate::faults::Failure;
use crate::granter::Share;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::wait::PATIENCE;
use crate::world::World;

/// Number of pages of the regions and of the buffers.
const PAGES: usize = 2;

/// Status of a segment when the hypervisor does not look at it (`GNTST_general_error`).
const GENERAL_ERROR: Failure = Failure::Status(-1);

rules![
    #[rule("open fails at each point")]
    fn open(_: &mut World) -> Verdict {
        walk(
            "open",
            &[Failure::NO_MEMORY],
            || Ok(()),
            |()| Gntdev::open().map_err(Failure::of),
            |(), _| Ok(()),
        )
    },

    #[rule("adding a region fails at each point")]
    #[long]
    fn insert(world: &mut World) -> Verdict {
        let share = world.share(PAGES)?;
        walk(
            "MAP_GRANT_REF",
            &[Failure::NO_MEMORY, Failure::FAULT],
            || Ok(Gntdev::open()?),
            |device| device.insert(&share.grants).map_err(Failure::of),
            |device, index| {
                assert_eq!(index, 0, "another region is left");
                Ok(device.remove(index, PAGES as u32)?)
            },
        )
    },

    /// A region whose `mmap()` failed for want of memory is mapped by the next one.
    #[rule("mapping a region fails at each point, and the same call works after that")]
    #[long]
    fn map(world: &mut World) -> Verdict {
        let share = filled(world, 600)?;
        walk(
            "mmap of a region",
            &[Failure::NO_MEMORY, Failure::REFUSED],
            || inserted(&share),
            |(device, index)| {
                let mapping = device.map(*index, PAGES, Protection::ReadWrite);
                mapping.map_err(Failure::of)
            },
            |(device, index), mapping| {
                assert_eq!(mapping.first_difference(600), None);
                mapping.unmap()?;
                Ok(device.remove(index, PAGES as u32)?)
            },
        )
    },

    #[rule("removing a region fails at each point")]
    fn remove(world: &mut World) -> Verdict {
        let share = world.share(PAGES)?;
        walk(
            "UNMAP_GRANT_REF",
            &[Failure::FAULT],
            || inserted(&share),
            |(device, index)| {
                let removed = device.remove(*index, PAGES as u32);
                removed.map_err(Failure::of)
            },
            |_, ()| Ok(()),
        )
    },

    #[rule("finding a region fails at each point")]
    fn find(world: &mut World) -> Verdict {
        let held = world.mapped(PAGES, 601)?;
        let expected = Place {
            offset: held.index,
            count: PAGES as u32,
        };
        walk(
            "GET_OFFSET_FOR_VADDR",
            &[Failure::FAULT],
            || Ok(()),
            |()| {
                let place = held.device.place_of(held.mapping.address());
                place.map_err(Failure::of)
            },
            |(), place| {
                assert_eq!(place, expected);
                Ok(())
            },
        )
    },

    #[rule("setting a notification fails at each point")]
    fn set_notify(world: &mut World) -> Verdict {
        let share = world.share(PAGES)?;
        let channel = Loopback::open(DOM0)?;
        let action = notify::CLEAR_BYTE | notify::SEND_EVENT;
        walk(
            "SET_UNMAP_NOTIFY",
            &[Failure::FAULT],
            || inserted(&share),
            |(device, index)| {
                let set = device.set_notify(*index, action, channel.port());
                set.map_err(Failure::of)
            },
            |(device, index), ()| {
                device.remove(index, PAGES as u32)?;
                assert!(channel.wait(PATIENCE)?, "no event at the end");
                Ok(())
            },
        )
    },

    /// The kernel reads the page for a program after a change of its protection: the grant is
    /// mapped again.
    #[rule("mapping a page again fails at each point")]
    fn map_again(world: &mut World) -> Verdict {
        if !world.is_paravirtual() {
            return skip_case("an auto-translated mapping keeps its pages");
        }
        let held = world.mapped(1, 602)?;
        let expected = held.mapping.read_vec(0, PAGE_SIZE);
        walk(
            "write(2) from a page after mprotect()",
            &[Failure::FAULT],
            || {
                held.mapping.protect(Protection::Read)?;
                held.mapping.protect(Protection::ReadWrite)?;
                Ok(UnixStream::pair()?)
            },
            |(_, writer)| {
                let count = held.mapping.write_to(writer.as_fd());
                count.map_err(Failure::of)
            },
            |(mut reader, _), count| {
                assert_eq!(count, PAGE_SIZE);
                let mut data = vec![0; PAGE_SIZE];
                reader.read_exact(&mut data)?;
                assert!(data == expected, "other bytes came out");
                Ok(())
            },
        )
    },

    #[rule("a copy fails at each point")]
    #[long]
    fn copy(world: &mut World) -> Verdict {
        let share = filled(world, 603)?;
        walk(
            "GRANT_COPY",
            &[Failure::NO_MEMORY, Failure::FAULT, GENERAL_ERROR],
            || {
                let memory = Mapping::anonymous(PAGES, Protection::ReadWrite)?;
                // Pages that do not exist are an allocation of the kernel's, not of the driver's.
                memory.fill(0);
                Ok((Gntdev::open()?, memory))
            },
            |(device, memory)| {
                let segments: Vec<Segment<'_>> = (0..PAGES)
                    .map(|page| Segment {
                        source: End::Grant(share.grants[page], 0),
                        destination: End::Local(memory, page * PAGE_SIZE),
                        length: PAGE_SIZE as u16,
                    })
                    .collect();
                let statuses = device.copy(&segments).map_err(Failure::of)?;
                match statuses.into_iter().find(|status| *status != OKAY) {
                    Some(status) => Err(Failure::Status(status)),
                    None => Ok(()),
                }
            },
            |(_, memory), ()| {
                assert_eq!(memory.first_difference(603), None);
                Ok(())
            },
        )
    },

    #[rule("an export fails at each point")]
    #[long]
    fn export(world: &mut World) -> Verdict {
        exported(
            world,
            "DMABUF_EXP_FROM_REFS",
            |device, domid, references| device.export(0, domid, references).map_err(Failure::of),
        )
    },

    #[rule("an export with an offset fails at each point")]
    #[long]
    fn export_at(world: &mut World) -> Verdict {
        let call = "DMABUF_EXP_FROM_REFS_V2";
        exported(world, call, |device, domid, references| {
            let buffer = device.export_at(64, 0, domid, references);
            buffer.map_err(Failure::of)
        })
    },

    /// In a paravirtual domain Xen maps the grants a second time. In others only a page table may
    /// have to be allocated.
    #[rule("mapping an export fails at each point")]
    #[long]
    fn map_export(world: &mut World) -> Verdict {
        let (expected, possible): (&[Failure], &[Failure]) = match world.model {
            MemoryModel::Paravirtual => (&[Failure::NO_MEMORY, Failure::REFUSED], &[]),
            MemoryModel::AutoTranslated => (&[], &[Failure::NO_MEMORY]),
        };
        let share = filled(world, 604)?;
        let device = Gntdev::open()?;
        let buffer = device.export(0, world.granter.domid(), &share.references())?;
        walk_with(
            "mmap of an export",
            expected,
            possible,
            || Ok(()),
            |()| buffer.map(PAGES).map_err(Failure::of),
            |(), mapping| {
                assert_eq!(mapping.first_difference(604), None);
                Ok(())
            },
        )
    },

    #[rule("waiting for an export fails at each point")]
    fn wait(world: &mut World) -> Verdict {
        let share = world.share(PAGES)?;
        let device = Gntdev::open()?;
        let buffer = device.export(0, world.granter.domid(), &share.references())?;
        walk(
            "DMABUF_EXP_WAIT_RELEASED",
            &[Failure::FAULT],
            || Ok(()),
            |()| match device.wait_released(buffer.number(), 0) {
                Err(error) if error.raw_os_error() == Some(ETIMEDOUT) => Ok(()),
                result => result.map_err(Failure::of),
            },
            |(), ()| Ok(()),
        )
    },

    #[rule("a read that fails leaves the number of ended exports")]
    fn read(world: &mut World) -> Verdict {
        let share = world.share(PAGES)?;
        let domid = world.granter.domid();
        walk(
            "read",
            &[Failure::FAULT],
            || {
                let device = Gntdev::open()?;
                drop(device.export(0, domid, &share.references())?);
                assert!(wait_readable(device.file(), PATIENCE)?, "it has ended");
                Ok(device)
            },
            |device| {
                let mut number = [0; 8];
                device.read(&mut number).map_err(Failure::of)?;
                Ok(u64::from_ne_bytes(number))
            },
            |_, number| {
                assert_eq!(number, 1);
                Ok(())
            },
        )
    },

    #[rule("poll fails at each point")]
    fn poll(_: &mut World) -> Verdict {
        walk(
            "poll",
            &[Failure::PollError],
            || Ok(Gntdev::open()?),
            |device| {
                let readable = wait_readable(device.file(), Duration::ZERO);
                // The call succeeds, and tells of an error of the file.
                readable.map_err(|error| match error.raw_os_error() {
                    Some(number) => Failure::Errno(number),
                    None => Failure::PollError,
                })
            },
            |_, readable| {
                assert!(!readable);
                Ok(())
            },
        )
    },

    #[rule("an import fails at each point")]
    #[long]
    fn import(world: &mut World) -> Verdict {
        imported(world, "DMABUF_IMP_TO_REFS", |device, import| {
            device.import_claiming(import).map_err(Failure::of)
        })
    },

    #[rule("an import with an offset fails at each point")]
    #[long]
    fn import_at(world: &mut World) -> Verdict {
        imported(world, "DMABUF_IMP_TO_REFS_V2", |device, import| {
            let (offset, references) = device.import_at(import).map_err(Failure::of)?;
            assert_eq!(offset, 0);
            Ok(references)
        })
    },

    #[rule("releasing an import fails at each point")]
    fn release_import(world: &mut World) -> Verdict {
        let buffer = MemoryFile::new(PAGES)?.dma_buf()?;
        let domid = world.granter.domid();
        walk(
            "DMABUF_IMP_RELEASE",
            &[Failure::FAULT],
            || {
                let device = Gntdev::open()?;
                device.import(&buffer, domid, PAGES)?;
                Ok(device)
            },
            |device| {
                let released = device.release_import(buffer.number());
                released.map_err(Failure::of)
            },
            |_, ()| Ok(()),
        )
    }
];

fn filled(world: &mut World, seed: u32) -> Result<Share, Stop> {
    let share = world.share(PAGES)?;
    world.granter.fill(&share, seed)?;
    Ok(share)
}

/// A file with a region of the grants of `share`, and the index of the region.
fn inserted(share: &Share) -> Result<(Gntdev, u64), Stop> {
    let device = Gntdev::open()?;
    let index = device.insert(&share.grants)?;
    Ok((device, index))
}

fn exported(
    world: &mut World,
    name: &str,
    call: impl Fn(&Gntdev, u32, &[u32]) -> Result<DmaBuf, Failure>,
) -> Verdict {
    let share = filled(world, 605)?;
    let (domid, references) = (world.granter.domid(), share.references());
    walk(
        name,
        &[Failure::NO_MEMORY, Failure::FAULT, Failure::REFUSED],
        || Ok(Gntdev::open()?),
        |device| call(device, domid, &references),
        |_, buffer| {
            assert_eq!(buffer.map(PAGES)?.first_difference(605), None);
            Ok(())
        },
    )
}

fn imported(
    world: &mut World,
    name: &str,
    call: impl Fn(&Gntdev, &Import) -> Result<Vec<u32>, Failure>,
) -> Verdict {
    let file = MemoryFile::new(PAGES)?;
    let buffer = file.dma_buf()?;
    let import = Import {
        number: buffer.number(),
        count: PAGES as u32,
        domid: world.granter.domid(),
        reserved: 0,
    };
    walk(
        name,
        &[Failure::NO_MEMORY, Failure::FAULT, Failure::NO_SPACE],
        || Ok(Gntdev::open()?),
        |device| call(device, &import),
        |device, references| {
            assert_eq!(references.len(), PAGES);
            Ok(device.release_import(import.number)?)
        },
    )
}
