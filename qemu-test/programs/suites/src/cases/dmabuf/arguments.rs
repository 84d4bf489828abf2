// SPDX-License-Identifier: GPL-2.0

//! Arguments of the dma-buf requests that make no sense are refused. Nothing
//! is mapped by them, and no descriptor is left open.

use std::fs;
use std::io;

use xen_guest::dma_buf::DmaBuf;
use xen_guest::errno::EFAULT;
use xen_guest::errno::EINVAL;
use xen_guest::errno::EMFILE;
use xen_guest::errno::ENOENT;
use xen_guest::gntdev::BadAddress;
use xen_guest::gntdev::Gntdev;
use xen_guest::gntdev::Request;
use xen_guest::grant_dma_buf::Import;
use xen_guest::grant_dma_buf::EXPORT_AT_HEADER;
use xen_guest::grant_dma_buf::EXPORT_HEADER;
use xen_guest::grant_dma_buf::IMPORT_AT_HEADER;
use xen_guest::grant_dma_buf::IMPORT_HEADER;
use xen_guest::ktap::Verdict;
use xen_guest::mapping::Mapping;
use xen_guest::mapping::Protection;
use xen_guest::process::open_files;
use xen_guest::PAGE_SIZE;

use super::file_buffer;
use super::BEYOND_TABLE;
use super::KINDS;
use super::NO_EXPORT;
use super::NO_OFFSET;
use crate::granter::Share;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

const CHECKS_NOTHING: &str = "refuses exports in PV domains before it looks at them";

/// No domain has this number, which is below those with a special meaning.
const ABSENT_DOMAIN: u32 = 0x7fef;

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
    },

    #[rule("an unreadable argument of an export is EFAULT")]
    #[expect_c_differs_on_pv(CHECKS_NOTHING)]
    fn unreadable_export(_: &mut World) -> Verdict {
        assert_unreadable(&[(Request::DMABUF_EXPORT, 8, "export")])
    },

    #[rule("an unreadable argument of an import is EFAULT")]
    fn unreadable_import(_: &mut World) -> Verdict {
        assert_unreadable(&[
            (Request::DMABUF_WAIT_RELEASED, 4, "wait"),
            (Request::DMABUF_IMPORT, 8, "import"),
            (Request::DMABUF_RELEASE_IMPORT, 4, "release"),
        ])
    },

    #[rule("an unreadable argument with an offset is EFAULT")]
    #[expect_c_differs(NO_OFFSET)]
    fn unreadable_offset(_: &mut World) -> Verdict {
        assert_unreadable(&[
            (Request::DMABUF_EXPORT_AT, 8, "export"),
            (Request::DMABUF_IMPORT_AT, 8, "import"),
        ])
    },

    #[rule("an export's references that end in unmapped memory are EFAULT")]
    #[expect_c_differs_on_pv(CHECKS_NOTHING)]
    fn export_cut_off(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        assert_no_descriptor(|| {
            for count in [2, 3, 600] {
                let words = [0, count, u32::MAX, domid];
                assert_eq!(size_of_val(&words), EXPORT_HEADER);
                let result = send_cut_off(&device, Request::DMABUF_EXPORT, &words);
                assert_error(result, EFAULT, &format!("{count} references"));
            }
            Ok(())
        })
    },

    #[rule("an import's references that end in unmapped memory are EFAULT, none stays")]
    fn import_cut_off(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for pages in [2, 3, 600] {
            let (_, buffer) = file_buffer(pages)?;
            let words = [buffer.number(), pages as u32, world.granter.domid(), 0];
            assert_eq!(size_of_val(&words), IMPORT_HEADER);
            let result = send_cut_off(&device, Request::DMABUF_IMPORT, &words);
            assert_error(result, EFAULT, &format!("{pages} references"));
            assert_not_imported(&device, &buffer);
        }
        Ok(())
    },

    #[rule("with an offset, references that end in unmapped memory are EFAULT")]
    #[expect_c_differs(NO_OFFSET)]
    fn offset_cut_off(world: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let domid = world.granter.domid();
        let (_, buffer) = file_buffer(3)?;
        assert_no_descriptor(|| {
            let words = [0, 3, 0, u32::MAX, domid];
            assert_eq!(size_of_val(&words), EXPORT_AT_HEADER);
            let result = send_cut_off(&device, Request::DMABUF_EXPORT_AT, &words);
            assert_error(result, EFAULT, "an export");
            let words = [buffer.number(), 3, domid, 0, 0];
            assert_eq!(size_of_val(&words), IMPORT_AT_HEADER);
            let result = send_cut_off(&device, Request::DMABUF_IMPORT_AT, &words);
            assert_error(result, EFAULT, "an import");
            Ok(())
        })?;
        assert_not_imported(&device, &buffer);
        Ok(())
    },

    #[rule("an export that cannot be written back is EFAULT, no descriptor stays")]
    #[expect_c_differs(NO_EXPORT)]
    fn export_not_written_back(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let references = share.references();
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        assert_no_descriptor(|| {
            for (flags, kind) in KINDS {
                let words = [flags, 2, u32::MAX, domid, references[0], references[1]];
                let memory = read_only(&words)?;
                let result = device.request_at(Request::DMABUF_EXPORT, &memory, 0);
                assert_error(result, EFAULT, &format!("{kind} memory"));
                assert_released(&share.grants);
            }
            Ok(())
        })?;
        // The same with an argument that can be written is fine.
        device.export(0, domid, &references)?;
        Ok(())
    },

    #[rule("an import that cannot be written back is EFAULT, none stays")]
    fn import_not_written_back(world: &mut World) -> Verdict {
        let (_, buffer) = file_buffer(2)?;
        let device = Gntdev::open()?;
        let words = [buffer.number(), 2, world.granter.domid(), 0, 0, 0];
        let memory = read_only(&words)?;
        let result = device.request_at(Request::DMABUF_IMPORT, &memory, 0);
        assert_error(result, EFAULT, "an import");
        assert_not_imported(&device, &buffer);
        device.import(&buffer, world.granter.domid(), 2)?;
        Ok(())
    },

    /// The device's file stays open: what is mapped must go with the failed call.
    #[rule("one bad reference among good ones leaves none mapped")]
    fn one_bad_among_good(world: &mut World) -> Verdict {
        let share = world.share(5)?;
        let device = Gntdev::open()?;
        for place in [0, 2, 4] {
            for bad in [BEYOND_TABLE, u32::MAX] {
                let mut references = share.references();
                references[place] = bad;
                assert_refused(&device, world.granter.domid(), &references, &share)?;
            }
        }
        Ok(())
    },

    #[rule("grants that have ended are EINVAL")]
    fn ended_grants(world: &mut World) -> Verdict {
        let good = world.share(1)?;
        let share = world.share(2)?;
        let references = share.references();
        world.granter.unshare(share)?;
        let device = Gntdev::open()?;
        assert_refused(&device, world.granter.domid(), &references, &good)
    },

    #[rule("an export of an absent domain is EINVAL")]
    fn absent_domain(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        assert_refused(&device, ABSENT_DOMAIN, &share.references(), &share)
    },

    #[rule("a domain number beyond 16 bits is EINVAL")]
    fn domain_beyond_16_bits(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        let device = Gntdev::open()?;
        for bits in [1 << 16, 1 << 31] {
            let domid = world.granter.domid() | bits;
            assert_refused(&device, domid, &share.references(), &share)?;
        }
        Ok(())
    },

    #[rule("an export without a free descriptor is EMFILE, nothing is mapped")]
    #[expect_c_differs(NO_EXPORT)]
    fn no_free_descriptor(world: &mut World) -> Verdict {
        /// More than a process may have open unless somebody has seen to it.
        const MANY: usize = 1 << 16;
        let share = world.share(2)?;
        world.granter.fill(&share, 701)?;
        let references = share.references();
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        let (_, buffer) = file_buffer(1)?;
        let mut duplicates = Vec::new();
        while let Ok(duplicate) = buffer.duplicate() {
            duplicates.push(duplicate);
            assert!(duplicates.len() < MANY, "the number of files has no limit");
        }
        let results = KINDS.map(|(flags, _)| device.export(flags, domid, &references));
        // To look at what is mapped takes a descriptor.
        duplicates.truncate(duplicates.len() / 2);
        for (result, (_, kind)) in results.into_iter().zip(KINDS) {
            assert_error(result, EMFILE, &format!("{kind} memory"));
        }
        assert_released(&share.grants);
        drop(duplicates);
        let buffer = device.export(0, domid, &references)?;
        assert_eq!(buffer.map(2)?.first_difference(701), None);
        Ok(())
    },

    #[rule("a hundred failed exports leave nothing behind")]
    #[expect_c_differs(NO_EXPORT)]
    fn many_failures(world: &mut World) -> Verdict {
        let share = world.share(8)?;
        world.granter.fill(&share, 700)?;
        let good = share.references();
        let mut bad = good.clone();
        bad[7] = BEYOND_TABLE;
        let domid = world.granter.domid();
        let device = Gntdev::open()?;
        assert_no_descriptor(|| {
            for round in 0..100 {
                let (flags, _) = KINDS[round % KINDS.len()];
                assert_error(device.export(flags, domid, &bad), EINVAL, "an export");
            }
            Ok(())
        })?;
        assert_released(&share.grants);
        for (flags, _) in KINDS {
            let buffer = device.export(flags, domid, &good)?;
            assert_eq!(buffer.map(8)?.first_difference(700), None);
        }
        Ok(())
    }
];

/// The module's parameter, the most pages in one region or buffer.
fn limit(world: &World) -> io::Result<u32> {
    let text = fs::read_to_string(world.driver.limit_file())?;
    text.trim().parse().map_err(io::Error::other)
}

/// Counts the open files before and after `body`.
fn assert_no_descriptor(body: impl FnOnce() -> Verdict) -> Verdict {
    let before = open_files()?;
    body()?;
    assert_eq!(open_files()?, before, "open files");
    Ok(())
}

/// Two pages, the second of which nobody may touch.
fn half_readable() -> io::Result<Mapping> {
    let mut first = Mapping::anonymous(2, Protection::ReadWrite)?;
    let second = first.split_off(1);
    second.protect(Protection::None)?;
    first.join(second);
    Ok(first)
}

/// Each request with an argument nowhere, and with one of whose bytes `left`
/// can be read.
fn assert_unreadable(requests: &[(Request, usize, &str)]) -> Verdict {
    let device = Gntdev::open()?;
    assert_no_descriptor(|| {
        for (request, left, name) in requests {
            for address in BadAddress::ALL {
                let result = device.request_at_bad_address(*request, address);
                assert_error(result, EFAULT, &format!("{name} at {address:?}"));
            }
            let memory = half_readable()?;
            let result = device.request_at(*request, &memory, PAGE_SIZE - left);
            assert_error(result, EFAULT, &format!("{name} across the end"));
        }
        Ok(())
    })
}

/// Writes the argument that `words` are into memory that ends after the first
/// reference, and sends it.
fn send_cut_off(device: &Gntdev, request: Request, words: &[u32]) -> io::Result<()> {
    let memory = half_readable()?;
    let at = PAGE_SIZE - (words.len() + 1) * size_of::<u32>();
    write_words(&memory, at, words);
    device.request_at(request, &memory, at)
}

fn write_words(memory: &Mapping, at: usize, words: &[u32]) {
    for (index, word) in words.iter().enumerate() {
        memory.write_all(at + index * size_of::<u32>(), &word.to_le_bytes());
    }
}

fn assert_not_imported(device: &Gntdev, buffer: &DmaBuf) {
    let result = device.release_import(buffer.number());
    assert_error(result, ENOENT, "releasing it");
}

/// An argument in memory that can only be read.
pub(super) fn read_only(words: &[u32]) -> io::Result<Mapping> {
    let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
    write_words(&memory, 0, words);
    memory.protect(Protection::Read)?;
    Ok(memory)
}

/// Tries to make a dma-buf of grants, none of which may stay mapped.
fn assert_refused(device: &Gntdev, domid: u32, references: &[u32], good: &Share) -> Verdict {
    assert_no_descriptor(|| {
        for (flags, kind) in KINDS {
            let result = device.export(flags, domid, references);
            assert_error(result, EINVAL, &format!("{references:?} as {kind} memory"));
        }
        Ok(())
    })?;
    assert_released(&good.grants);
    Ok(())
}
