// SPDX-License-Identifier: GPL-2.0

//! Segments, their statuses and the array that holds them.

use std::io;

use guest_test::gntdev::Gntdev;
use guest_test::mapping::MappingCalls;
use xen_grants::bytes::Bytes;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::OKAY;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::granter::Share;
use crate::granter::BEYOND_TABLE;
use crate::world::World;

pub(super) const PAGE: u16 = PAGE_SIZE as u16;

/// The number of segments that begin in a page.
pub(super) const PER_PAGE: u32 = (PAGE_SIZE / RawSegment::SIZE) as u32;

/// Page-aligned memory of this process.
pub(super) fn memory(pages: usize) -> io::Result<Mapping> {
    Ok(Mapping::anonymous(pages, Protection::ReadWrite)?)
}

pub(super) fn from_grant(
    grant: GrantRef,
    offset: u16,
    to: &Bytes,
    at: usize,
    length: u16,
) -> Segment<'_> {
    Segment {
        source: End::Grant(grant, offset),
        destination: End::Local(to, at),
        length,
    }
}

pub(super) fn to_grant(
    from: &Bytes,
    at: usize,
    grant: GrantRef,
    offset: u16,
    length: u16,
) -> Segment<'_> {
    Segment {
        source: End::Local(from, at),
        destination: End::Grant(grant, offset),
        length,
    }
}

pub(super) fn assert_okay(statuses: &[i16]) {
    let failed: Vec<_> = statuses
        .iter()
        .enumerate()
        .filter(|(_, status)| **status != OKAY)
        .collect();
    assert!(failed.is_empty(), "segments and their status: {failed:?}");
}

/// A reference that grants nothing.
pub(super) fn bad_grant(world: &World) -> GrantRef {
    GrantRef {
        domid: world.granter.domid(),
        reference: BEYOND_TABLE,
    }
}

/// A page of this process and, directly after it, a mapped page of `share`.
pub(super) fn memory_before_grant(device: &Gntdev, share: &Share) -> io::Result<Mapping> {
    let mut local = memory(2)?;
    let second = local.split_off(1);
    let index = device.insert(&share.grants)?;
    local.join(second.replaced_by_file(device.file(), index, Protection::ReadWrite)?);
    Ok(local)
}

/// Two pages of encoded segments, of which the second is protected.
pub(super) fn encoded(segment: &Segment<'_>, protection: Protection) -> io::Result<Mapping> {
    let mut array = memory(2)?;
    let bytes = segment.raw().to_bytes();
    for at in (0..=array.len() - RawSegment::SIZE).step_by(RawSegment::SIZE) {
        array.write_all(at, &bytes);
    }
    let second = array.split_off(1);
    second.protect(protection)?;
    array.join(second);
    Ok(array)
}
