// SPDX-License-Identifier: GPL-2.0

//! Copies that the hypervisor makes between this program's memory and granted
//! pages, or between these.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use xen_guest::bytes::pattern;
use xen_guest::bytes::Bytes;
use xen_guest::errno::EFAULT;
use xen_guest::errno::EINVAL;
use xen_guest::gntdev::BadAddress;
use xen_guest::gntdev::Gntdev;
use xen_guest::gntdev::GrantRef;
use xen_guest::gntdev::Request;
use xen_guest::grant_copy::End;
use xen_guest::grant_copy::Segment;
use xen_guest::grant_copy::BAD_REFERENCE;
use xen_guest::grant_copy::OKAY;
use xen_guest::grant_copy::SEGMENT_SIZE;
use xen_guest::grant_table::GrantTable;
use xen_guest::ktap::Verdict;
use xen_guest::mapping::Mapping;
use xen_guest::mapping::Protection;
use xen_guest::platform::kernel_counter;
use xen_guest::platform::memory_info;
use xen_guest::process;
use xen_guest::process::Child;
use xen_guest::signal::SIGKILL;
use xen_guest::PAGE_SIZE;

use crate::granter::Access;
use crate::granter::Granter;
use crate::granter::Share;
use crate::local::LocalGranter;
use crate::random::Random;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::world::assert_error;
use crate::world::Source;
use crate::world::World;
use crate::world::DOM0;

const PAGE: u16 = PAGE_SIZE as u16;

/// The number of segments that begin in a page.
const PER_PAGE: u32 = (PAGE_SIZE / SEGMENT_SIZE) as u32;

const THREADS: usize = 8;

rules![
    #[rule("a page is copied from and to a grant")]
    fn one_page(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 140)?;
        let local = memory(2)?;
        let table = GrantTable::open()?;
        let statuses = table.copy(&[
            from_grant(share.grants[0], 0, &local, 0, PAGE),
            from_grant(share.grants[1], 0, &local, PAGE_SIZE, PAGE),
        ])?;
        assert_okay(&statuses);
        assert_eq!(local.first_difference(140), None);

        local.fill(141);
        let statuses = table.copy(&[
            to_grant(&local, 0, share.grants[0], 0, PAGE),
            to_grant(&local, PAGE_SIZE, share.grants[1], 0, PAGE),
        ])?;
        assert_okay(&statuses);
        world.assert_granter_sees(&share, 141);
        Ok(())
    },

    #[rule("any length at any offset copies those bytes and no other")]
    fn lengths_and_offsets(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 142)?;
        let local = memory(1)?;
        let table = GrantTable::open()?;
        let lengths = [1, 2, 3, 63, 64, 65, 511, 512, 2048, 4095, 4096];
        for length in lengths {
            for (from, to) in [(0, 0), (1, 0), (0, 1), (1000, 7), (4095, 4095)] {
                let from: usize = PAGE_SIZE.saturating_sub(length).min(from);
                let to = PAGE_SIZE.saturating_sub(length).min(to);
                local.fill(143);
                let segment = from_grant(share.grants[0], from as u16, &local, to, length as u16);
                assert_okay(&table.copy(&[segment])?);
                for at in 0..PAGE_SIZE {
                    let expected = match at.checked_sub(to) {
                        Some(within) if within < length => pattern(142, from + within),
                        _ => pattern(143, at),
                    };
                    let what = format!("{length} bytes from {from} to {to}: byte {at}");
                    assert_eq!(local.read(at), expected, "{what}");
                }
            }
        }
        Ok(())
    },

    #[rule("a local buffer may cross pages")]
    fn local_buffer_crosses_pages(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(3)?;
        let table = GrantTable::open()?;
        for at in [1, 64, 2048, 4095, 4097, 8191] {
            world.granter.fill(&share, 144)?;
            local.fill(145);
            assert_okay(&table.copy(&[from_grant(share.grants[0], 0, &local, at, PAGE)])?);
            for byte in 0..local.len() {
                let expected = match byte.checked_sub(at) {
                    Some(within) if within < PAGE_SIZE => pattern(144, within),
                    _ => pattern(145, byte),
                };
                assert_eq!(local.read(byte), expected, "from {at}: byte {byte}");
            }

            local.fill(146);
            assert_okay(&table.copy(&[to_grant(&local, at, share.grants[0], 0, PAGE)])?);
            for byte in [0, 1, 2047, 2048, 4095] {
                let expected = pattern(146, at + byte);
                assert_eq!(world.granter.read(&share, byte)?, expected, "to {byte}");
            }
        }
        Ok(())
    },

    #[rule("a grant is copied to another")]
    fn grant_to_grant(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 147)?;
        let table = GrantTable::open()?;
        let segment = Segment {
            source: End::Grant(share.grants[0], 100),
            destination: End::Grant(share.grants[1], 3000),
            length: 1000,
        };
        assert_okay(&table.copy(&[segment])?);
        for within in [0, 1, 500, 999] {
            let value = world.granter.read(&share, PAGE_SIZE + 3000 + within)?;
            assert_eq!(value, pattern(147, 100 + within), "byte {within}");
        }
        for at in [PAGE_SIZE + 2999, PAGE_SIZE + 4000] {
            assert_eq!(world.granter.read(&share, at)?, pattern(147, at));
        }
        Ok(())
    },

    /// An auto-translated domain may not map its own grants, but copy them.
    #[rule("a grant is copied to that of another domain")]
    fn between_domains(world: &mut World) -> Verdict {
        let mut own = LocalGranter::new(DOM0, DOM0)?;
        let here = own.share(1, Access::ReadWrite)?;
        let there = world.share(1)?;
        own.fill(&here, 148)?;
        let table = GrantTable::open()?;
        let forth = Segment {
            source: End::Grant(here.grants[0], 0),
            destination: End::Grant(there.grants[0], 0),
            length: PAGE,
        };
        assert_okay(&table.copy(&[forth])?);
        world.assert_granter_sees(&there, 148);

        world.granter.fill(&there, 149)?;
        let back = Segment {
            source: forth.destination,
            destination: forth.source,
            length: PAGE,
        };
        assert_okay(&table.copy(&[back])?);
        assert_eq!(own.first_difference(&here, 149)?, None);
        Ok(())
    },

    /// The order of segments is that of the copies: where they overlap, the last
    /// one is seen.
    #[rule("neighbouring, overlapping and descending segments share pages")]
    fn shared_pages(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 150)?;
        let grant = share.grants[0];
        let local = memory(4)?;
        let table = GrantTable::open()?;
        let places: [&[usize]; 6] = [
            &[0, 64, 128, 192],
            &[192, 128, 64, 0],
            &[0, 32, 16, 48],
            &[PAGE_SIZE - 32, PAGE_SIZE + 32, PAGE_SIZE - 32],
            &[3 * PAGE_SIZE, 2 * PAGE_SIZE, PAGE_SIZE, 0],
            &[0, 2 * PAGE_SIZE, PAGE_SIZE - 32, 3 * PAGE_SIZE - 64],
        ];
        for places in places {
            local.fill(151);
            let mut expected: Vec<u8> = (0..local.len()).map(|at| pattern(151, at)).collect();
            let mut segments = Vec::new();
            for (number, to) in places.iter().enumerate() {
                let from = number * 100;
                segments.push(from_grant(grant, from as u16, &local, *to, 64));
                for within in 0..64 {
                    expected[to + within] = pattern(150, from + within);
                }
            }
            assert_okay(&table.copy(&segments)?);
            assert!(local.read_vec(0, local.len()) == expected, "{places:?}");

            let back: Vec<Segment<'_>> = places
                .iter()
                .enumerate()
                .map(|(number, from)| to_grant(&local, *from, grant, number as u16 * 64, 64))
                .collect();
            assert_okay(&table.copy(&back)?);
            for (number, from) in places.iter().enumerate() {
                let value = world.granter.read(&share, number * 64 + 63)?;
                assert_eq!(value, expected[from + 63], "back, {places:?}");
            }
            world.granter.fill(&share, 150)?;
        }
        Ok(())
    },

    /// Numbers around those of a batch, both drivers' and any one's.
    #[rule("any number of segments is copied by one call")]
    fn many_segments(world: &mut World) -> Verdict {
        const PAGES: usize = 4;
        let share = world.share(PAGES)?;
        world.granter.fill(&share, 152)?;
        let mut random = Random::new(6);
        let table = GrantTable::open()?;
        let counts: [usize; 20] = [
            1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 513, 1000,
            3000,
        ];
        for count in counts {
            let local = memory((count * 150).div_ceil(PAGE_SIZE) + 1)?;
            let pieces: Vec<(usize, u16, u16)> = (0..count)
                .map(|_| {
                    let length = 1 + random.below(150);
                    let from = random.below(PAGE_SIZE - length);
                    (random.below(PAGES), from as u16, length as u16)
                })
                .collect();
            let segments: Vec<Segment<'_>> = pieces
                .iter()
                .enumerate()
                .map(|(number, (page, from, length))| {
                    from_grant(share.grants[*page], *from, &local, number * 150, *length)
                })
                .collect();
            assert_okay(&table.copy(&segments)?);
            for (number, (page, from, length)) in pieces.iter().enumerate() {
                for within in 0..usize::from(*length) {
                    let expected = pattern(152, page * PAGE_SIZE + usize::from(*from) + within);
                    let value = local.read(number * 150 + within);
                    assert_eq!(value, expected, "segment {number} of {count}");
                }
                if usize::from(*length) < 150 {
                    let after = local.read(number * 150 + usize::from(*length));
                    assert_eq!(after, 0, "after segment {number} of {count}");
                }
            }
        }
        Ok(())
    },

    #[rule("a segment without bytes is okay")]
    fn no_bytes(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 153)?;
        let local = memory(1)?;
        let grant = share.grants[0];
        let table = GrantTable::open()?;
        let nowhere = Segment {
            source: End::Nowhere(BadAddress::Null),
            destination: End::Grant(grant, 0),
            length: 0,
        };
        let statuses = table.copy(&[
            to_grant(&local, 0, grant, 0, 0),
            to_grant(&local, 100, grant, 0, 1),
            from_grant(grant, PAGE, &local, PAGE_SIZE, 0),
            from_grant(bad_grant(world), 0, &local, 0, 0),
            nowhere,
        ])?;
        assert_okay(&statuses);
        assert_eq!(world.granter.read(&share, 0)?, 0);
        assert_eq!(world.granter.read(&share, 1)?, pattern(153, 1));
        Ok(())
    },

    #[rule("a call without segments does nothing")]
    fn no_segments(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        GrantTable::open()?.copy(&[])?;
        // There is nothing to be read at the pointer, then.
        for address in BadAddress::ALL {
            device.copy_at_bad_address(address, 0)?;
        }
        Ok(())
    },

    #[rule("a bad reference fails its segment and no other")]
    fn bad_reference(world: &mut World) -> Verdict {
        const COUNT: usize = 600;
        let share = world.share(1)?;
        world.granter.fill(&share, 154)?;
        let local = memory(10)?;
        let bad = bad_grant(world);
        let table = GrantTable::open()?;
        for wrong in [0, 1, 255, 256, 300, 599] {
            local.fill(155);
            let segments: Vec<Segment<'_>> = (0..COUNT)
                .map(|number| {
                    let grant = if number == wrong {
                        bad
                    } else {
                        share.grants[0]
                    };
                    from_grant(grant, number as u16, &local, number * 64, 64)
                })
                .collect();
            let statuses = table.copy(&segments)?;
            for (number, status) in statuses.iter().enumerate() {
                let place = number * 64;
                let (expected_status, expected_byte) = if number == wrong {
                    (BAD_REFERENCE, pattern(155, place))
                } else {
                    (OKAY, pattern(154, number))
                };
                assert_eq!(*status, expected_status, "segment {number}");
                assert_eq!(local.read(place), expected_byte, "segment {number}");
            }
        }
        Ok(())
    },

    #[rule("a bad reference fails a segment that crosses pages")]
    fn bad_reference_of_split_segment(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 156)?;
        let local = memory(2)?;
        let (good, bad) = (share.grants[0], bad_grant(world));
        let statuses = GrantTable::open()?.copy(&[
            from_grant(good, 0, &local, 4000, 200),
            from_grant(bad, 0, &local, 4000, 200),
            from_grant(good, 200, &local, 4000, 100),
        ])?;
        assert_eq!(statuses, [OKAY, BAD_REFERENCE, OKAY]);
        assert_eq!(local.read(4000), pattern(156, 200));
        assert_eq!(local.read(4199), pattern(156, 199));
        Ok(())
    },

    /// The hypervisor copies to and from this domain's own frames, and a mapped
    /// grant of another domain's is none: so the second part fails.
    #[rule("a split segment has the status of its first part that failed")]
    fn second_part_fails(world: &mut World) -> Verdict {
        if world.source == Source::Own {
            return skip_case("a mapped grant of this domain's own is a frame of its own");
        }
        let (mapped, share) = (world.share(1)?, world.share(1)?);
        world.granter.fill(&mapped, 174)?;
        world.granter.fill(&share, 157)?;
        let device = Gntdev::open()?;
        let local = memory_before_grant(&device, &mapped)?;
        let statuses = device.copy(&[
            from_grant(share.grants[0], 0, &local, 4000, 200),
            from_grant(share.grants[0], 0, &local, 0, 64),
        ])?;
        assert!(statuses[0] < 0, "status {}", statuses[0]);
        assert_eq!(statuses[1], OKAY);
        assert_eq!(local.read(4000), pattern(157, 0));
        assert_eq!(local.read(4095), pattern(157, 95));
        world.assert_granter_sees(&mapped, 174);
        Ok(())
    },

    #[rule("a page that was granted read-only is read but not written")]
    fn read_only_grant(world: &mut World) -> Verdict {
        let share = world.granter.share(1, Access::ReadOnly)?;
        world.granter.fill(&share, 159)?;
        let (local, source) = (memory(1)?, memory(1)?);
        let table = GrantTable::open()?;
        let statuses = table.copy(&[
            from_grant(share.grants[0], 0, &local, 0, PAGE),
            to_grant(&source, 0, share.grants[0], 0, PAGE),
        ])?;
        assert_eq!(statuses[0], OKAY);
        assert!(statuses[1] < 0, "status {}", statuses[1]);
        assert_eq!(local.first_difference(159), None);
        world.assert_granter_sees(&share, 159);
        Ok(())
    },

    #[rule("local memory on both ends is EINVAL")]
    fn both_local(world: &mut World) -> Verdict {
        let local = memory(2)?;
        let share = world.share(1)?;
        let segment = Segment {
            source: End::Local(&local, 0),
            destination: End::Local(&local, PAGE_SIZE),
            length: 16,
        };
        let good = from_grant(share.grants[0], 0, &local, 0, 16);
        let table = GrantTable::open()?;
        for segments in [&[segment][..], &[good, segment], &[segment, good]] {
            assert_error(table.copy(segments), EINVAL, "local to local");
        }
        let empty = Segment {
            length: 0,
            ..segment
        };
        assert_error(table.copy(&[empty]), EINVAL, "no bytes");
        Ok(())
    },

    #[rule("crossing the end of a granted page is EINVAL")]
    fn foreign_page_crossed(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 160)?;
        let local = memory(17)?;
        let grant = share.grants[0];
        let table = GrantTable::open()?;
        for (offset, length) in [
            (1, PAGE),
            (4095, 2),
            (PAGE, 1),
            (0, PAGE + 1),
            (u16::MAX, 1),
            (u16::MAX, 0),
            (0, u16::MAX),
            (u16::MAX, u16::MAX),
        ] {
            let what = format!("{length} bytes at {offset}");
            let result = table.copy(&[from_grant(grant, offset, &local, 0, length)]);
            assert_error(result, EINVAL, &format!("from a grant: {what}"));
            let result = table.copy(&[to_grant(&local, 0, grant, offset, length)]);
            assert_error(result, EINVAL, &format!("to a grant: {what}"));
            let between = Segment {
                source: End::Grant(grant, 0),
                destination: End::Grant(share.grants[1], offset),
                length,
            };
            assert_error(table.copy(&[between]), EINVAL, &format!("between: {what}"));
        }
        world.assert_granter_sees(&share, 160);
        Ok(())
    },

    #[rule("a buffer that is not there is EFAULT")]
    fn buffer_missing(world: &mut World) -> Verdict {
        let others = BadAddress::ALL.into_iter();
        buffer_is_bad(
            world,
            others.filter(|address| *address != BadAddress::Wrapping),
        )
    },

    #[rule("a buffer at the end of all addresses is EFAULT")]
    #[expect_c_differs("answers EOVERFLOW where addresses wrap")]
    fn buffer_wraps(world: &mut World) -> Verdict {
        buffer_is_bad(world, [BadAddress::Wrapping])
    },

    #[rule("a destination that cannot be written is EFAULT")]
    fn destination_read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 162)?;
        let local = memory(2)?;
        local.fill(163);
        local.protect(Protection::Read)?;
        let table = GrantTable::open()?;
        for at in [0, 100, 4000] {
            let segment = from_grant(share.grants[0], 0, &local, at, 200);
            assert_error(table.copy(&[segment]), EFAULT, "read-only memory");
        }
        assert_eq!(local.first_difference(163), None);
        // To be read it is good enough.
        assert_okay(&table.copy(&[to_grant(&local, 4000, share.grants[0], 0, 200)])?);
        assert_eq!(world.granter.read(&share, 199)?, pattern(163, 4199));
        Ok(())
    },

    #[rule("a source that cannot be read is EFAULT")]
    fn source_unreadable(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 164)?;
        let local = memory(1)?;
        local.protect(Protection::None)?;
        let table = GrantTable::open()?;
        let segments = [
            to_grant(&local, 0, share.grants[0], 0, 8),
            from_grant(share.grants[0], 0, &local, 0, 8),
        ];
        for segment in segments {
            assert_error(table.copy(&[segment]), EFAULT, "protected memory");
        }
        world.assert_granter_sees(&share, 164);
        Ok(())
    },

    #[rule("a buffer of which the second page is missing is EFAULT")]
    fn second_page_missing(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let mut local = memory(3)?;
        let mut second = local.split_off(1);
        let third = second.split_off(1);
        second.protect(Protection::None)?;
        local.join(second);
        local.join(third);
        let grant = share.grants[0];
        let table = GrantTable::open()?;
        for good in [0, 1, 20, 300] {
            let mut segments = vec![from_grant(grant, 0, &local, 0, 64); good];
            segments.push(from_grant(grant, 0, &local, 4000, 200));
            segments.push(from_grant(grant, 0, &local, 2 * PAGE_SIZE, 64));
            assert_error(table.copy(&segments), EFAULT, &format!("after {good}"));
        }
        Ok(())
    },

    #[rule("segments that cannot be read are EFAULT")]
    fn segments_missing(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(1)?;
        let device = Gntdev::open()?;
        for address in BadAddress::ALL {
            for count in [1, 16, 17, 256, 3000] {
                let what = format!("{count} at {address:?}");
                assert_error(device.copy_at_bad_address(address, count), EFAULT, &what);
            }
        }
        let segment = from_grant(share.grants[0], 0, &local, 0, 8);
        let array = encoded(&segment, Protection::None)?;
        device.copy_encoded(&array, 0, PER_PAGE)?;
        for count in [PER_PAGE + 1, PER_PAGE + 2, 2 * PER_PAGE] {
            let result = device.copy_encoded(&array, 0, count);
            assert_error(result, EFAULT, &format!("{count} segments"));
        }
        Ok(())
    },

    #[rule("statuses that cannot be written are EFAULT")]
    fn statuses_read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(1)?;
        let device = Gntdev::open()?;
        let segment = from_grant(share.grants[0], 0, &local, 0, 8);
        let array = encoded(&segment, Protection::Read)?;
        device.copy_encoded(&array, 0, PER_PAGE)?;
        for count in [PER_PAGE + 2, 2 * PER_PAGE] {
            let result = device.copy_encoded(&array, 0, count);
            assert_error(result, EFAULT, &format!("{count} segments"));
        }
        Ok(())
    },

    /// What follows the segments is reserved, so that there is nothing to be read.
    #[rule("more segments than there are is EFAULT")]
    fn huge_count(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        let local = memory(1)?;
        let device = Gntdev::open()?;
        let pages = (u32::MAX as usize * SEGMENT_SIZE).div_ceil(PAGE_SIZE);
        let mut array = Mapping::anonymous(pages, Protection::None)?;
        let rest = array.split_off(1);
        array.protect(Protection::ReadWrite)?;
        let segment = from_grant(share.grants[0], 0, &local, 0, 8).encoded();
        for number in 0..PER_PAGE as usize {
            array.write_all(number * SEGMENT_SIZE, &segment);
        }
        array.join(rest);
        for count in [1000, 1 << 16, 1 << 24, 1 << 31, u32::MAX] {
            let result = device.copy_encoded(&array, 0, count);
            assert_error(result, EFAULT, &format!("{count} segments"));
        }
        Ok(())
    },

    #[rule("an argument that cannot be read is EFAULT")]
    fn bad_pointer(_: &mut World) -> Verdict {
        let device = Gntdev::open()?;
        for address in BadAddress::ALL {
            let result = device.request_at_bad_address(Request::GRANT_COPY, address);
            assert_error(result, EFAULT, &format!("{address:?}"));
        }
        Ok(())
    },

    #[rule("a failed call does not keep the next from working")]
    fn works_after_failure(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 165)?;
        let local = memory(1)?;
        let missing = memory(1)?;
        missing.protect(Protection::None)?;
        let table = GrantTable::open()?;
        let good = from_grant(share.grants[0], 0, &local, 0, PAGE);
        let unreadable = from_grant(share.grants[0], 0, &missing, 0, PAGE);
        let crossing = from_grant(share.grants[0], 1, &local, 0, PAGE);
        for (bad, errno) in [(unreadable, EFAULT), (crossing, EINVAL)] {
            for before in [0, 1, 15, 16, 256] {
                let mut segments = vec![good; before];
                segments.push(bad);
                assert_error(table.copy(&segments), errno, &format!("after {before}"));
                local.fill(0);
                assert_okay(&table.copy(&[good])?);
                assert_eq!(local.first_difference(165), None, "after {before}");
            }
        }
        Ok(())
    },

    /// Otherwise the hypervisor would write to memory that is the child's, too.
    #[rule("a destination shared with a child process is copied first")]
    fn copy_on_write(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 166)?;
        let local = memory(1)?;
        local.fill(167);
        let go_on = Mapping::shared(1)?;
        let mut child = Child::spawn(|| {
            while go_on.read(0) == 0 {
                thread::sleep(Duration::from_millis(2));
            }
            assert_eq!(local.first_difference(167), None, "the child's memory");
        })?;
        let table = GrantTable::open()?;
        assert_okay(&table.copy(&[from_grant(share.grants[0], 0, &local, 0, PAGE)])?);
        assert_eq!(local.first_difference(166), None);
        go_on.write(0, 1);
        let end = child.wait(Duration::from_secs(20))?;
        assert_eq!(end, Some(process::End::Exited(0)));
        Ok(())
    },

    /// Untouched memory reads as zeroes from a page that all processes share.
    #[rule("memory that nobody has touched yet can be either end")]
    fn untouched_memory(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 168)?;
        let table = GrantTable::open()?;
        let destination = memory(3)?;
        assert_okay(&table.copy(&[from_grant(share.grants[0], 0, &destination, 100, PAGE)])?);
        assert_eq!(destination.read(99), 0);
        assert_eq!(destination.read(100), pattern(168, 0));
        assert_eq!(destination.read(100 + PAGE_SIZE), 0);
        assert_eq!(memory(1)?.read(0), 0, "the page of zeroes");

        let source = memory(1)?;
        assert_okay(&table.copy(&[to_grant(&source, 0, share.grants[0], 0, PAGE)])?);
        for at in [0, 1, 2048, 4095] {
            assert_eq!(world.granter.read(&share, at)?, 0, "byte {at}");
        }
        Ok(())
    },

    /// Writing gives an untouched page memory of its own, also for the reader.
    #[rule("what one segment wrote the next one reads")]
    fn written_then_read(world: &mut World) -> Verdict {
        let share = world.share(2)?;
        world.granter.fill(&share, 172)?;
        let table = GrantTable::open()?;
        for at in [0, 100] {
            let local = memory(2)?;
            world.granter.write(&share, PAGE_SIZE, 0)?;
            let statuses = table.copy(&[
                from_grant(share.grants[0], 0, &local, at, PAGE),
                to_grant(&local, at, share.grants[1], 0, PAGE),
            ])?;
            assert_okay(&statuses);
            for byte in [0, 1, 2048, 4095] {
                let value = world.granter.read(&share, PAGE_SIZE + byte)?;
                assert_eq!(value, pattern(172, byte), "byte {byte}");
            }
        }
        Ok(())
    },

    /// As for any other memory, it is a matter of the frame behind it whether the
    /// hypervisor agrees: it does for this domain's own.
    #[rule("a mapped grant can be the local buffer if it is the domain's own")]
    fn mapped_grant(world: &mut World) -> Verdict {
        let held = world.mapped(1, 169)?;
        let share = world.share(1)?;
        world.granter.fill(&share, 170)?;
        let statuses = held.device.copy(&[
            to_grant(&held.mapping, 0, share.grants[0], 0, 64),
            from_grant(share.grants[0], 1000, &held.mapping, 64, 64),
        ])?;
        if world.source == Source::Own {
            assert_okay(&statuses);
            assert_eq!(world.granter.read(&share, 63)?, pattern(169, 63));
            assert_eq!(held.mapping.read(64), pattern(170, 1000));
        } else {
            assert!(statuses.iter().all(|status| *status < 0), "{statuses:?}");
            world.assert_granter_sees(&share, 170);
            world.assert_granter_sees(&held.share, 169);
        }
        Ok(())
    },

    #[rule("threads copy on one file at once")]
    fn threads(world: &mut World) -> Verdict {
        let share = world.share(THREADS)?;
        let device = Gntdev::open()?;
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (device, share) = (&device, &share);
                scope.spawn(move || copy_rounds(device, share, number, 20));
            }
        });
        Ok(())
    },

    #[rule("a thread's failures do not disturb another's copies")]
    fn threads_with_failures(world: &mut World) -> Verdict {
        let share = world.share(THREADS)?;
        let device = Gntdev::open()?;
        thread::scope(|scope| {
            for number in 0..THREADS / 2 {
                let (device, share) = (&device, &share);
                scope.spawn(move || copy_rounds(device, share, number, 10));
                scope.spawn(move || {
                    let local = memory(1).expect("memory");
                    let good = from_grant(share.grants[number], 0, &local, 0, 64);
                    let crossing = from_grant(share.grants[number], 1, &local, 0, PAGE);
                    for before in 0..100 {
                        let mut segments = vec![good; before];
                        segments.push(crossing);
                        assert_error(device.copy(&segments), EINVAL, "crossing");
                    }
                });
            }
        });
        Ok(())
    },

    /// Long calls let others run, so many of them are under way at the same time.
    #[rule("300 threads copy on one file, which then closes")]
    #[long]
    fn crowd(world: &mut World) -> Verdict {
        const CROWD: usize = 300;
        const SEGMENTS: usize = 1000;
        let share = world.share(1)?;
        world.granter.fill(&share, 173)?;
        let device = Gntdev::open()?;
        thread::scope(|scope| {
            for _ in 0..CROWD {
                scope.spawn(|| {
                    let local = memory(1).expect("memory");
                    let segment = from_grant(share.grants[0], 0, &local, 0, PAGE);
                    assert_okay(&device.copy(&vec![segment; SEGMENTS]).expect("copy"));
                    assert_eq!(local.first_difference(173), None);
                });
            }
        });
        Ok(())
    },

    #[rule("nothing stays pinned or lost")]
    #[long]
    fn nothing_stays(world: &mut World) -> Verdict {
        /// In kB. The rounds pin 30 MB in all, so pages lost would show.
        const ALLOWED_LOSS: u64 = 2048;
        const SEGMENTS: usize = 300;
        let share = world.share(1)?;
        let grant = share.grants[0];
        let local = memory(32)?;
        local.fill(171);
        let missing = memory(1)?;
        missing.protect(Protection::None)?;
        let device = Gntdev::open()?;
        let good: Vec<_> = (0..SEGMENTS)
            .map(|number| from_grant(grant, 0, &local, number * 400, 400))
            .collect();
        let mut bad = good.clone();
        bad[290] = from_grant(grant, 0, &missing, 0, 64);
        let mut wrong = good.clone();
        wrong[290] = from_grant(grant, 4000, &local, 0, 200);
        let mut refused = good.clone();
        refused[290] = from_grant(bad_grant(world), 0, &local, 0, 200);
        let array = encoded(&good[0], Protection::Read)?;
        let round = || -> Verdict {
            assert_okay(&device.copy(&good)?);
            assert_error(device.copy(&bad), EFAULT, "missing memory");
            assert_error(device.copy(&wrong), EINVAL, "crossing");
            assert_eq!(device.copy(&refused)?[290], BAD_REFERENCE);
            let result = device.copy_encoded(&array, 0, 2 * PER_PAGE);
            assert_error(result, EFAULT, "statuses");
            Ok(())
        };
        round()?;
        let pinned_before = pinned()?;
        let memory_before = memory_info("MemFree")?;
        for _ in 0..50 {
            round()?;
        }
        assert_eq!(pinned()?, pinned_before, "pinned pages");
        let lost = memory_before.saturating_sub(memory_info("MemFree")?);
        assert!(lost < ALLOWED_LOSS, "{lost} kB less memory than before");
        Ok(())
    },

    /// The call would take minutes.
    #[rule("a huge call ends when its process is killed")]
    #[long]
    #[expect_c_differs("goes on to the end of the call")]
    fn killed(world: &mut World) -> Verdict {
        const COUNT: u32 = 4_000_000;
        let share = world.share(1)?;
        let pinned_before = pinned()?;
        let local = memory(1)?;
        let array = memory((COUNT as usize * SEGMENT_SIZE).div_ceil(PAGE_SIZE))?;
        let segment = from_grant(share.grants[0], 0, &local, 0, PAGE).encoded();
        for number in 0..COUNT as usize {
            array.write_all(number * SEGMENT_SIZE, &segment);
        }
        let mut child = Child::spawn(|| {
            let device = Gntdev::open().expect("open");
            device.copy_encoded(&array, 0, COUNT).expect("copy");
        })?;
        thread::sleep(Duration::from_millis(300));
        let begin = Instant::now();
        child.kill()?;
        let end = child.wait(Duration::from_secs(100))?;
        assert_eq!(end, Some(process::End::Signalled(SIGKILL)));
        let seconds = begin.elapsed().as_secs();
        assert!(seconds < 5, "ended after {seconds} s");
        assert_eq!(pinned()?, pinned_before, "pinned pages");
        Ok(())
    }
];

/// Page-aligned memory of this process.
fn memory(pages: usize) -> io::Result<Mapping> {
    Mapping::anonymous(pages, Protection::ReadWrite)
}

fn from_grant(grant: GrantRef, offset: u16, to: &Bytes, at: usize, length: u16) -> Segment<'_> {
    Segment {
        source: End::Grant(grant, offset),
        destination: End::Local(to, at),
        length,
    }
}

fn to_grant(from: &Bytes, at: usize, grant: GrantRef, offset: u16, length: u16) -> Segment<'_> {
    Segment {
        source: End::Local(from, at),
        destination: End::Grant(grant, offset),
        length,
    }
}

fn assert_okay(statuses: &[i16]) {
    let failed: Vec<_> = statuses
        .iter()
        .enumerate()
        .filter(|(_, status)| **status != OKAY)
        .collect();
    assert!(failed.is_empty(), "segments and their status: {failed:?}");
}

/// A reference that grants nothing.
fn bad_grant(world: &World) -> GrantRef {
    GrantRef {
        domid: world.granter.domid(),
        reference: 0x00ff_fff0,
    }
}

/// Memory of this process and, right behind it, a page of `share`, mapped.
fn memory_before_grant(device: &Gntdev, share: &Share) -> io::Result<Mapping> {
    let mut local = memory(2)?;
    let second = local.split_off(1);
    let index = device.insert(&share.grants)?;
    local.join(second.replaced_by_file(device.file(), index, Protection::ReadWrite)?);
    Ok(local)
}

fn buffer_is_bad(world: &mut World, bad: impl IntoIterator<Item = BadAddress>) -> Verdict {
    let share = world.share(1)?;
    world.granter.fill(&share, 161)?;
    let table = GrantTable::open()?;
    for address in bad {
        for length in [1, 8, PAGE] {
            let what = format!("{length} bytes at {address:?}");
            let (there, nowhere) = (End::Grant(share.grants[0], 0), End::Nowhere(address));
            for (source, destination) in [(there, nowhere), (nowhere, there)] {
                let segment = Segment {
                    source,
                    destination,
                    length,
                };
                assert_error(table.copy(&[segment]), EFAULT, &what);
            }
        }
    }
    world.assert_granter_sees(&share, 161);
    Ok(())
}

/// Two pages of encoded segments, of which the second is protected.
fn encoded(segment: &Segment<'_>, protection: Protection) -> io::Result<Mapping> {
    let mut array = memory(2)?;
    let bytes = segment.encoded();
    for at in (0..=array.len() - SEGMENT_SIZE).step_by(SEGMENT_SIZE) {
        array.write_all(at, &bytes);
    }
    let second = array.split_off(1);
    second.protect(protection)?;
    array.join(second);
    Ok(array)
}

/// Copies pages back and forth, each thread its own.
fn copy_rounds(table: &Gntdev, share: &Share, number: usize, rounds: usize) {
    let grant = share.grants[number];
    let (from, to) = (memory(2).expect("memory"), memory(2).expect("memory"));
    for round in 0..rounds {
        from.fill((number * rounds + round) as u32);
        let there: Vec<_> = (0..32)
            .map(|piece| to_grant(&from, 100 + piece * 128, grant, piece as u16 * 128, 128))
            .collect();
        assert_okay(&table.copy(&there).expect("copy"));
        let back: Vec<_> = (0..64)
            .map(|piece| from_grant(grant, piece as u16 * 64, &to, 100 + piece * 64, 64))
            .collect();
        assert_okay(&table.copy(&back).expect("copy"));
        let same = from.read_vec(100, PAGE_SIZE) == to.read_vec(100, PAGE_SIZE);
        assert!(same, "thread {number}, round {round}");
    }
}

/// The number of pages that somebody has pinned and not yet let go.
fn pinned() -> io::Result<u64> {
    // Each processor counts for itself, and adds its part to the sum when asked.
    fs::write("/proc/sys/vm/stat_refresh", "1")?;
    let acquired = kernel_counter("nr_foll_pin_acquired")?;
    Ok(acquired - kernel_counter("nr_foll_pin_released")?)
}
