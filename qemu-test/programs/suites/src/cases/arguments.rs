// SPDX-License-Identifier: GPL-2.0

//! Arguments that make no sense are refused, and leave nothing behind.

use std::fs::File;
use std::os::fd::AsFd;

use guest_test::errno::EAGAIN;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::ENOTTY;
use guest_test::errno::EOVERFLOW;
use guest_test::gntdev;
use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Request;
use guest_test::gntdev::MAP_GRANT_REF_HEADER;
use guest_test::ktap::Verdict;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::platform::Driver;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::argument::half_readable;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::World;

const ANY: GrantRef = GrantRef {
    domid: 0,
    reference: 1,
};

const REQUESTS: [(Request, &str); 3] = [
    (Request::MAP_GRANT_REF, "map_grant_ref"),
    (Request::UNMAP_GRANT_REF, "unmap_grant_ref"),
    (Request::GET_OFFSET_FOR_VADDR, "get_offset_for_vaddr"),
];

rules![
    #[rule("a count of 0 is EINVAL")]
    fn count_zero(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        assert_error(device.insert(&[]), EINVAL, "no grants");
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    },

    /// The sizes in bytes of these counts overflow 32 bits.
    #[rule("a count near 2^31 or 2^32 is EINVAL")]
    fn count_huge(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for count in [
            0x7fff_ffff,
            0x8000_0000,
            0x8000_0001,
            0xffff_fffe,
            0xffff_ffff,
        ] {
            let result = device.insert_claiming(count, &[ANY]);
            assert_error(result, EINVAL, &format!("count {count:#x}"));
        }
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    },

    #[rule("set_max_grants is ENOTTY")]
    fn set_max_grants(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        assert_error(device.set_max_grants(16), ENOTTY, "before all others");
        device.insert(&[ANY])?;
        assert_error(device.set_max_grants(16), ENOTTY, "after another");
        Ok(())
    },

    #[rule("an unknown request is ENOTTY")]
    fn unknown_request(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
        let result = device.request_at(Request::UNKNOWN, &memory, 0);
        assert_error(result, ENOTTY, "with an argument");
        let result = device.request_at_bad_address(Request::UNKNOWN, BadAddress::Null);
        assert_error(result, ENOTTY, "without an argument");
        Ok(())
    },

    #[rule("an unreadable argument is EFAULT")]
    fn bad_addresses(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for (request, name) in REQUESTS {
            for address in BadAddress::ALL {
                let result = device.request_at_bad_address(request, address);
                assert_error(result, EFAULT, &format!("{name} at {address:?}"));
            }
            // Only the last bytes of this argument cannot be read.
            let memory = half_readable()?;
            let result = device.request_at(request, &memory, PAGE_SIZE - 8);
            assert_error(result, EFAULT, &format!("{name} across the end"));
        }
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    },

    #[rule("references that end in unmapped memory are EFAULT")]
    fn references_cut_off(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let memory = half_readable()?;
        let size = MAP_GRANT_REF_HEADER + size_of::<GrantRef>();
        for count in [2, 3, 600] {
            let at = PAGE_SIZE - size;
            write_request(&memory, at, count);
            let result = device.request_at(Request::MAP_GRANT_REF, &memory, at);
            assert_error(result, EFAULT, &format!("{count} references"));
        }
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    },

    #[rule("an argument that cannot be written back is EFAULT, no region stays")]
    fn read_only(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
        write_request(&memory, 0, 2);
        memory.protect(Protection::Read)?;
        let result = device.request_at(Request::MAP_GRANT_REF, &memory, 0);
        assert_error(result, EFAULT, "an argument in read-only memory");

        // The next region would not have index 0 if this one had stayed.
        assert_error(device.remove(0, 2), ENOENT, "removing it");
        assert_eq!(device.insert(&[ANY])?, 0);
        Ok(())
    },

    #[rule("place_of an argument that cannot be written back is EFAULT")]
    fn read_only_place(world: &mut World) -> Verdict {
        let held = world.mapped(1, 40)?;
        let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
        let address = held.mapping.address() as u64;
        memory.write_all(0, &address.to_le_bytes());
        memory.protect(Protection::Read)?;
        let result = held
            .device
            .request_at(Request::GET_OFFSET_FOR_VADDR, &memory, 0);
        assert_error(result, EFAULT, "an argument in read-only memory");
        Ok(())
    },

    #[rule("a private mapping for writing is EINVAL")]
    fn private_for_writing(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let result = mapping::private(device.file(), index, 1, Protection::ReadWrite);
        assert_error(result, EINVAL, "a private mapping for writing");

        device.map(index, 1, Protection::ReadWrite)?;
        Ok(())
    },

    /// None of these offsets is that of the region at 0. The kernel refuses the last one before the
    /// device sees it.
    #[rule("mapping offsets near 2^44 and 2^63 are refused")]
    #[expect_c_differs("cuts the page number to 32 bits and finds index 0")]
    fn far_offsets(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let device = Gntdev::open()?;
        device.insert(&share.grants)?;
        let page = PAGE_SIZE as u64;
        for offset in [
            1 << 44,
            3 << 44,
            (1 << 63) - page,
            1 << 63,
            (1 << 63) + page,
        ] {
            let result = device.map(offset, 1, Protection::Read);
            assert_error(result, EINVAL, &format!("offset {offset:#x}"));
        }
        let result = device.map(0u64.wrapping_sub(page), 1, Protection::Read);
        assert_error(result, EOVERFLOW, "the last offset");
        Ok(())
    },

    #[rule("removing an index near 2^44 or 2^64 is ENOENT")]
    #[expect_c_differs("cuts the page number to 32 bits and finds index 0")]
    fn far_indexes(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        device.insert(&[ANY])?;
        let page = PAGE_SIZE as u64;
        for index in [1 << 44, 5 << 44, 1 << 63, 0u64.wrapping_sub(page), u64::MAX] {
            let result = device.remove(index, 1);
            assert_error(result, ENOENT, &format!("index {index:#x}"));
        }
        device.remove(0, 1)?;
        Ok(())
    },

    /// A read returns the number of dma-bufs that have ended; none has.
    #[rule("reading and writing the file is refused")]
    fn read_and_write(world: &mut World) -> Verdict {
        let file = File::options().read(true).write(true).open(gntdev::PATH)?;
        let memory = Mapping::anonymous(1, Protection::ReadWrite)?;
        assert_error(memory.write_to(file.as_fd()), EINVAL, "write");
        let nothing = match world.driver {
            Driver::Rust => EAGAIN,
            Driver::C => EINVAL,
        };
        assert_error(memory.read_from(file.as_fd()), nothing, "read");
        Ok(())
    }
];

/// Writes the argument of a request for `count` grants at offset `at`.
fn write_request(memory: &Mapping, at: usize, count: u32) {
    memory.write_all(at, &count.to_le_bytes());
}
