// SPDX-License-Identifier: GPL-2.0

//! Segments that the hypervisor copies between local memory and granted pages.
//!
//! A grant copy needs no mapping: for small or rare transfers it is cheaper than mapping the grant.
//! [`GrantTable::copy`](crate::grant_table::GrantTable::copy) makes it.

use crate::bytes::Bytes;
use crate::GrantRef;

/// Status of a segment that was copied (`GNTST_okay`).
pub const OKAY: i16 = 0;

/// Status of a segment whose grant reference grants nothing (`GNTST_bad_gntref`).
pub const BAD_REFERENCE: i16 = -3;

/// One end of a segment.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// Memory of this process, from this offset on.
    Local(&'a Bytes, usize),
    /// A granted page, from this offset on.
    Grant(GrantRef, u16),
}

/// A segment to be copied. It must not cross the end of a granted page.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Start of the source.
    pub source: End<'a>,
    /// Start of the destination.
    pub destination: End<'a>,
    /// Number of bytes.
    pub length: u16,
}

impl Segment<'_> {
    /// The segment in the form that the kernel takes.
    ///
    /// # Panics
    ///
    /// Panics if a local end does not lie within its memory. So the kernel and the hypervisor write
    /// to nothing but bytes that hold no Rust object.
    pub fn raw(&self) -> RawSegment {
        let end = |end: End<'_>, flag| match end {
            End::Local(bytes, at) => {
                assert!(
                    at + usize::from(self.length) <= bytes.len(),
                    "{} bytes from {at} of {}",
                    self.length,
                    bytes.len()
                );
                ((bytes.address() + at) as u64, 0)
            }
            End::Grant(grant, offset) => {
                let reference = u64::from(grant.reference);
                let domid = u64::from(grant.domid as u16);
                (reference | (u64::from(offset) << 32) | (domid << 48), flag)
            }
        };
        let (source, source_flag) = end(self.source, RawSegment::SOURCE_IS_GRANT);
        let (destination, destination_flag) =
            end(self.destination, RawSegment::DESTINATION_IS_GRANT);
        RawSegment {
            source,
            destination,
            length: self.length,
            flags: source_flag | destination_flag,
            status: RawSegment::UNSET,
        }
    }
}

/// `struct gntdev_grant_copy_segment` and `xengnttab_grant_copy_segment_t`, which are the same.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawSegment {
    source: u64,
    destination: u64,
    length: u16,
    flags: u16,
    status: i16,
}

impl RawSegment {
    const SOURCE_IS_GRANT: u16 = 1;
    const DESTINATION_IS_GRANT: u16 = 2;
    /// Status that is never set: shows that none was written.
    const UNSET: i16 = 0x7abc;

    /// Size in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Offset of the status, in bytes.
    pub const STATUS_OFFSET: usize = std::mem::offset_of!(Self, status);

    /// Status that the hypervisor has set, [`OKAY`] or a negative number.
    pub fn status(&self) -> i16 {
        self.status
    }

    /// The bytes of the segment in memory, with zeroes as padding.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&self.source.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.destination.to_ne_bytes());
        bytes[16..18].copy_from_slice(&self.length.to_ne_bytes());
        bytes[18..20].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[Self::STATUS_OFFSET..][..2].copy_from_slice(&self.status.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;
    use crate::mapping::Protection;

    fn to_grant(memory: &Bytes, at: usize) -> Segment<'_> {
        let grant = GrantRef {
            domid: 0x1234,
            reference: 0x89ab_cdef,
        };
        Segment {
            source: End::Local(memory, at),
            destination: End::Grant(grant, 0x0fed),
            length: 7,
        }
    }

    #[test]
    fn a_grant_is_reference_offset_and_domain() {
        let memory = Mapping::anonymous(1, Protection::ReadWrite).unwrap();
        let bytes = to_grant(&memory, 3).raw().to_bytes();

        assert_eq!(bytes[0..8], (memory.address() + 3).to_ne_bytes());
        assert_eq!(bytes[8..12], 0x89ab_cdefu32.to_ne_bytes());
        assert_eq!(bytes[12..14], 0x0fedu16.to_ne_bytes());
        assert_eq!(bytes[14..16], 0x1234u16.to_ne_bytes());
        assert_eq!(bytes[16..20], [7, 0, 2, 0]);
    }

    #[test]
    #[should_panic(expected = "7 bytes from 4090 of 4096")]
    fn memory_beyond_the_end_is_refused() {
        let memory = Mapping::anonymous(1, Protection::ReadWrite).unwrap();
        to_grant(&memory, 4090).raw();
    }
}
