// SPDX-License-Identifier: GPL-2.0

//! Segments to be copied between memory of ours and granted pages.

use crate::bytes::Bytes;
use crate::gntdev::BadAddress;
use crate::gntdev::GrantRef;

/// A segment as the device and libxengnttab take it: source, destination,
/// length, flags, status.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSegment {
    source: u64,
    destination: u64,
    length: u16,
    flags: u16,
    pub(crate) status: i16,
}

/// Size of a segment in memory.
pub const SEGMENT_SIZE: usize = size_of::<RawSegment>();

const SOURCE_IS_GRANT: u16 = 1;
const DESTINATION_IS_GRANT: u16 = 2;

/// A status that nobody sets: shows whether one was written.
const UNSET: i16 = 0x7abc;

/// The status of a segment that was copied.
pub const OKAY: i16 = 0;

/// The hypervisor's complaint about a reference that grants nothing.
pub const BAD_REFERENCE: i16 = -3;

/// One end of a segment.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// Memory of this process, from this offset on.
    Local(&'a Bytes, usize),
    /// An address where this process can have no memory.
    Nowhere(BadAddress),
    /// A granted page, from this offset on.
    Grant(GrantRef, u16),
}

/// A segment to be copied.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Where from.
    pub source: End<'a>,
    /// Where to.
    pub destination: End<'a>,
    /// How many bytes.
    pub length: u16,
}

impl Segment<'_> {
    /// The hypervisor and the kernel write to nothing but what the ends name:
    /// bytes that hold no Rust object and, as is checked here, are there.
    pub(crate) fn raw(&self) -> RawSegment {
        let end = |end: End<'_>, flag| match end {
            End::Local(bytes, at) => {
                assert!(at + usize::from(self.length) <= bytes.len());
                ((bytes.address() + at) as u64, 0)
            }
            End::Nowhere(address) => (address.value() as u64, 0),
            End::Grant(grant, offset) => {
                let reference = u64::from(grant.reference);
                let domid = u64::from(grant.domid as u16);
                (reference | (u64::from(offset) << 32) | (domid << 48), flag)
            }
        };
        let (source, source_flag) = end(self.source, SOURCE_IS_GRANT);
        let (destination, destination_flag) = end(self.destination, DESTINATION_IS_GRANT);
        RawSegment {
            source,
            destination,
            length: self.length,
            flags: source_flag | destination_flag,
            status: UNSET,
        }
    }

    /// The segment's bytes as the device wants them in memory.
    pub fn encoded(&self) -> [u8; SEGMENT_SIZE] {
        let raw = self.raw();
        let mut bytes = [0; SEGMENT_SIZE];
        bytes[0..8].copy_from_slice(&raw.source.to_ne_bytes());
        bytes[8..16].copy_from_slice(&raw.destination.to_ne_bytes());
        bytes[16..18].copy_from_slice(&raw.length.to_ne_bytes());
        bytes[18..20].copy_from_slice(&raw.flags.to_ne_bytes());
        bytes[20..22].copy_from_slice(&raw.status.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_reference_offset_and_domain() {
        let grant = GrantRef {
            domid: 0x1234,
            reference: 0x89ab_cdef,
        };
        let segment = Segment {
            source: End::Grant(grant, 0x0fed),
            destination: End::Nowhere(BadAddress::Null),
            length: 7,
        };
        let bytes = segment.encoded();

        assert_eq!(bytes[0..4], 0x89ab_cdefu32.to_ne_bytes());
        assert_eq!(bytes[4..6], 0x0fedu16.to_ne_bytes());
        assert_eq!(bytes[6..8], 0x1234u16.to_ne_bytes());
        assert_eq!(bytes[8..16], [0; 8]);
        assert_eq!(bytes[16..20], [7, 0, 1, 0]);
    }
}
