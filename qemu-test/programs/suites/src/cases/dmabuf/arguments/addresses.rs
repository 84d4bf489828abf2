// SPDX-License-Identifier: GPL-2.0

//! Arguments that cannot be read or written back.

use std::io;

use guest_test::errno::EFAULT;
use guest_test::errno::ENOENT;
use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Request;
use guest_test::gntdev::EXPORT_AT_HEADER;
use guest_test::gntdev::EXPORT_HEADER;
use guest_test::gntdev::IMPORT_AT_HEADER;
use guest_test::gntdev::IMPORT_HEADER;
use guest_test::ktap::Verdict;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::PAGE_SIZE;

use super::descriptors::assert_no_descriptor;
use crate::argument::half_readable;
use crate::argument::read_only;
use crate::argument::write_words;
use crate::cases::dmabuf::buffers::file_buffer;
use crate::cases::dmabuf::buffers::KINDS;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::cases::dmabuf::buffers::NO_OFFSET;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::World;

const CHECKS_NOTHING: &str = "refuses exports in PV domains before it looks at them";

rules![
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
    }
];

/// Sends each request with an argument at a bad address, and with one of which only the first
/// `left` bytes can be read.
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

/// Sends a request whose argument is `words` and one reference; the memory after these cannot be
/// read.
fn send_cut_off(device: &Gntdev, request: Request, words: &[u32]) -> io::Result<()> {
    let memory = half_readable()?;
    let at = PAGE_SIZE - (words.len() + 1) * size_of::<u32>();
    write_words(&memory, at, words);
    device.request_at(request, &memory, at)
}

fn assert_not_imported(device: &Gntdev, buffer: &DmaBuf) {
    let result = device.release_import(buffer.number());
    assert_error(result, ENOENT, "releasing it");
}
