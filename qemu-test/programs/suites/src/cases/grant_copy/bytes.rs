// SPDX-License-Identifier: GPL-2.0

//! Bytes that a copy moves, and those that it leaves.

use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Verdict;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_table::GrantTable;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::segments::assert_okay;
use super::segments::bad_grant;
use super::segments::from_grant;
use super::segments::memory;
use super::segments::to_grant;
use super::segments::PAGE;
use crate::granter::Access;
use crate::granter::Granter;
use crate::local::LocalGranter;
use crate::random::Random;
use crate::suite::rules;
use crate::world::World;

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

    /// An auto-translated domain may copy its own grants, though not map them.
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

    /// Segments are copied in their order: the last of those that overlap is seen.
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

    /// Numbers around the sizes of batches of both drivers.
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
            source: End::Local(BadAddress::Null.bytes(), 0),
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
        // The pointer is not used then.
        for address in BadAddress::ALL {
            device.copy_at_bad_address(address, 0)?;
        }
        Ok(())
    }
];
