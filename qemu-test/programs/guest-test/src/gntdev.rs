// SPDX-License-Identifier: GPL-2.0

//! The grant device itself, for tests of what libxengnttab does not expose: indexes, invalid
//! arguments, and mappings without the library.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use xen_grants::bytes::Bytes;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_copy::Segment;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;

use crate::call::check;

/// Path of the device.
pub const PATH: &str = "/dev/xen/gntdev";

#[repr(C)]
struct UnmapGrantRef {
    index: u64,
    count: u32,
    pad: u32,
}

#[repr(C)]
struct GetOffsetForVaddr {
    vaddr: u64,
    offset: u64,
    count: u32,
    pad: u32,
}

#[repr(C)]
struct SetMaxGrants {
    count: u32,
}

#[repr(C)]
struct UnmapNotify {
    index: u64,
    action: u32,
    port: u32,
}

#[repr(C)]
struct GrantCopy {
    count: u32,
    pad: u32,
    segments: u64,
}

/// Actions when a region is unmapped, as bits of the request's action.
pub mod notify {
    /// Clear the byte at the index.
    pub const CLEAR_BYTE: u32 = 1;
    /// Send an event on the port.
    pub const SEND_EVENT: u32 = 2;
}

/// Size of the fields that precede the references in the argument of `MAP_GRANT_REF`: count,
/// padding, index.
pub const MAP_GRANT_REF_HEADER: usize = 16;

/// Size of the fields that precede the references in the argument of [`Request::DMABUF_EXPORT`]:
/// flags, count, descriptor, domain.
pub const EXPORT_HEADER: usize = 4 * size_of::<u32>();

/// The same for [`Request::DMABUF_EXPORT_AT`]: flags, count, offset, descriptor, domain.
pub const EXPORT_AT_HEADER: usize = 5 * size_of::<u32>();

/// The same for [`Request::DMABUF_IMPORT`]: descriptor, count, domain, a reserved word.
pub const IMPORT_HEADER: usize = 4 * size_of::<u32>();

/// The same for [`Request::DMABUF_IMPORT_AT`], which also has the offset at the end.
pub const IMPORT_AT_HEADER: usize = 5 * size_of::<u32>();

/// Maximum number of bytes that a request writes to its argument, if its argument is of fixed size.
const LARGEST_ANSWER: usize = MAP_GRANT_REF_HEADER + size_of::<GrantRef>();

/// Request number of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(u32);

impl Request {
    /// Adds a region to the file.
    pub const MAP_GRANT_REF: Self = Self::new(0, LARGEST_ANSWER);
    /// Removes a region from the file.
    pub const UNMAP_GRANT_REF: Self = Self::new(1, size_of::<UnmapGrantRef>());
    /// Finds the region that is mapped at an address.
    pub const GET_OFFSET_FOR_VADDR: Self = Self::new(2, size_of::<GetOffsetForVaddr>());
    /// Obsolete: tells the device the number of grants to expect.
    pub const SET_MAX_GRANTS: Self = Self::new(3, size_of::<SetMaxGrants>());
    /// Sets the actions when a region is unmapped.
    pub const SET_UNMAP_NOTIFY: Self = Self::new(7, size_of::<UnmapNotify>());
    /// Copies from and to granted pages.
    pub const GRANT_COPY: Self = Self::new(8, size_of::<GrantCopy>());
    /// [`Self::GRANT_COPY`] of a 32-bit program, whose pointers are shorter.
    pub const GRANT_COPY_32: Self = Self::new(8, size_of::<[u32; 2]>());
    /// Exports granted pages as a dma-buf.
    pub const DMABUF_EXPORT: Self = Self::new(9, EXPORT_HEADER + size_of::<u32>());
    /// Waits for the release of a dma-buf that the file exported.
    pub const DMABUF_WAIT_RELEASED: Self = Self::new(10, size_of::<[u32; 2]>());
    /// Grants the pages of a dma-buf.
    pub const DMABUF_IMPORT: Self = Self::new(11, IMPORT_HEADER + size_of::<u32>());
    /// Ends the grants of the pages of a dma-buf.
    pub const DMABUF_RELEASE_IMPORT: Self = Self::new(12, size_of::<[u32; 2]>());
    /// Exports granted pages as a dma-buf whose data begin at an offset.
    pub const DMABUF_EXPORT_AT: Self = Self::new(13, EXPORT_AT_HEADER + size_of::<u32>());
    /// Grants the pages of a dma-buf and returns the offset of its data.
    pub const DMABUF_IMPORT_AT: Self = Self::new(14, IMPORT_AT_HEADER + size_of::<u32>());
    /// Number that the device has never had.
    pub const UNKNOWN: Self = Self::new(0xee, 8);

    const fn new(number: u32, size: usize) -> Self {
        Self(((size as u32) << 16) | ((b'G' as u32) << 8) | number)
    }

    /// Returns the number as ioctl(2) takes it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Returns the maximum number of bytes that the device writes to the argument at offset `at` of
    /// `memory`. That of an import depends on the count in its second word.
    pub(crate) fn largest_answer(self, memory: &Bytes, at: usize) -> usize {
        let header = match self {
            Self::DMABUF_IMPORT => IMPORT_HEADER,
            Self::DMABUF_IMPORT_AT => IMPORT_AT_HEADER,
            _ => return LARGEST_ANSWER,
        };
        let count = memory.read_vec(at + size_of::<u32>(), size_of::<u32>());
        let count = u32::from_le_bytes(count.try_into().expect("four bytes"));
        header + count as usize * size_of::<u32>()
    }
}

/// Address that no argument can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// The null pointer.
    Null,
    /// An address in the kernel's half of the address space.
    Kernel,
    /// The last page below the limit of user space, which is never mapped.
    Limit,
    /// An address so close to the last one that adding a length wraps around.
    Wrapping,
}

impl BadAddress {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Null, Self::Kernel, Self::Limit, Self::Wrapping];

    const fn value(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Kernel => 0xffff_8880_0000_1000,
            Self::Limit => 0x7fff_ffff_f000,
            Self::Wrapping => usize::MAX - 7,
        }
    }

    /// Returns a view of the memory at the address, as the end of a segment to be copied. A program
    /// that reads it is killed.
    pub fn bytes(self) -> &'static Bytes {
        const fn at(address: BadAddress) -> Bytes {
            // SAFETY: No memory of this process is at the address.
            unsafe { Bytes::new(address.value(), u16::MAX as usize) }
        }
        static NULL: Bytes = at(BadAddress::Null);
        static KERNEL: Bytes = at(BadAddress::Kernel);
        static LIMIT: Bytes = at(BadAddress::Limit);
        static WRAPPING: Bytes = at(BadAddress::Wrapping);
        match self {
            Self::Null => &NULL,
            Self::Kernel => &KERNEL,
            Self::Limit => &LIMIT,
            Self::Wrapping => &WRAPPING,
        }
    }
}

/// Location of a region, as `GET_OFFSET_FOR_VADDR` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset in the file.
    pub offset: u64,
    /// Number of pages.
    pub count: u32,
}

/// The device, opened without a library.
#[derive(Debug)]
pub struct Gntdev {
    file: File,
}

impl Gntdev {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(PATH)?;
        Ok(Self { file })
    }

    /// Returns a second descriptor of the same open file.
    pub fn try_clone(&self) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file })
    }

    /// Adds `grants` as a region and returns its index, the offset for mmap.
    pub fn insert(&self, grants: &[GrantRef]) -> io::Result<u64> {
        self.insert_claiming(grants.len() as u32, grants)
    }

    /// As [`Self::insert`], but with `count` as the number of grants in the argument.
    pub fn insert_claiming(&self, count: u32, grants: &[GrantRef]) -> io::Result<u64> {
        // The argument ends with an array of variable length, so it is built from words: count and
        // padding, index, then domain and reference of each grant. The device writes the first
        // reference also if there is none.
        let mut words = vec![0u64; 2 + grants.len().max(1)];
        words[0] = count.into();
        words[1] = u64::MAX;
        for (word, grant) in words[2..].iter_mut().zip(grants) {
            *word = u64::from(grant.domid) | (u64::from(grant.reference) << 32);
        }
        // SAFETY: The device writes at most the header and one reference, which the vector holds.
        // It may read further, up to `count` references, and then reads arbitrary bytes or fails.
        unsafe { self.ioctl(Request::MAP_GRANT_REF, words.as_mut_ptr() as usize)? };
        Ok(words[1])
    }

    /// Removes the region at `index` from the file.
    pub fn remove(&self, index: u64, count: u32) -> io::Result<()> {
        let mut argument = UnmapGrantRef {
            index,
            count,
            pad: 0,
        };
        // SAFETY: The argument has the type of this request.
        unsafe { self.ioctl(Request::UNMAP_GRANT_REF, &raw mut argument as usize) }
    }

    /// Returns the location in the file of the region that is mapped at `vaddr`.
    pub fn place_of(&self, vaddr: usize) -> io::Result<Place> {
        let mut argument = GetOffsetForVaddr {
            vaddr: vaddr as u64,
            offset: u64::MAX,
            count: u32::MAX,
            pad: 0,
        };
        // SAFETY: The argument has the type of this request.
        unsafe { self.ioctl(Request::GET_OFFSET_FOR_VADDR, &raw mut argument as usize)? };
        Ok(Place {
            offset: argument.offset,
            count: argument.count,
        })
    }

    /// Sends the obsolete request that old libraries begin with.
    pub fn set_max_grants(&self, count: u32) -> io::Result<()> {
        let mut argument = SetMaxGrants { count };
        // SAFETY: The argument has the type of this request.
        unsafe { self.ioctl(Request::SET_MAX_GRANTS, &raw mut argument as usize) }
    }

    /// Sets the actions when the region that contains byte `index` is unmapped: `action` is a
    /// combination of the bits in [`notify`].
    pub fn set_notify(&self, index: u64, action: u32, port: u32) -> io::Result<()> {
        let mut argument = UnmapNotify {
            index,
            action,
            port,
        };
        // SAFETY: The argument has the type of this request.
        unsafe { self.ioctl(Request::SET_UNMAP_NOTIFY, &raw mut argument as usize) }
    }

    /// Copies segments and returns the status of each.
    pub fn copy(&self, segments: &[Segment<'_>]) -> io::Result<Vec<i16>> {
        let mut prepared = self.prepare_copy(segments);
        prepared.copy()?;
        Ok(prepared.statuses().collect())
    }

    /// Prepares segments to be copied any number of times.
    pub fn prepare_copy<'a>(&'a self, segments: &'a [Segment<'_>]) -> PreparedCopy<'a> {
        PreparedCopy {
            device: self,
            raw: segments.iter().map(Segment::raw).collect(),
            _ends: PhantomData,
        }
    }

    /// Copies `count` segments whose encodings are in `memory` from offset `at` on; zeroes are
    /// segments, too. Parts of the memory may be protected.
    pub fn copy_encoded(&self, memory: &Bytes, at: usize, count: u32) -> io::Result<()> {
        assert!(at + count as usize * RawSegment::SIZE <= memory.len());
        self.copy_at(memory.address() + at, count)
    }

    /// Copies `count` segments at an address that cannot be read.
    pub fn copy_at_bad_address(&self, address: BadAddress, count: u32) -> io::Result<()> {
        self.copy_at(address.value(), count)
    }

    fn copy_at(&self, segments: usize, count: u32) -> io::Result<()> {
        let mut argument = GrantCopy {
            count,
            pad: 0,
            segments: segments as u64,
        };
        // SAFETY: The argument has the type of this request. The callers make sure that the memory
        // in it holds no Rust object.
        unsafe { self.ioctl(Request::GRANT_COPY, &raw mut argument as usize) }
    }

    /// Calls read(2) on the open file.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Sends `request` with an argument at offset `at` of `memory`, parts of which may be
    /// protected.
    pub fn request_at(&self, request: Request, memory: &Bytes, at: usize) -> io::Result<()> {
        assert!(at + request.largest_answer(memory, at) <= memory.len());
        // SAFETY: `memory` holds no Rust object, and the request writes no more bytes than were
        // just found to fit in it.
        unsafe { self.ioctl(request, memory.address() + at) }
    }

    /// Sends `request` with an argument that cannot be read.
    pub fn request_at_bad_address(&self, request: Request, address: BadAddress) -> io::Result<()> {
        // SAFETY: No memory of this process is at any of these addresses.
        unsafe { self.ioctl(request, address.value()) }
    }

    /// # Safety
    ///
    /// The memory at `argument` must hold no Rust object as far as the request writes it.
    pub(crate) unsafe fn ioctl(&self, request: Request, argument: usize) -> io::Result<()> {
        // SAFETY: By this function's safety requirements.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), request.0.into(), argument) })
    }

    /// Maps the region at `index` with `MAP_SHARED`, as programs do.
    pub fn map(&self, index: u64, pages: usize, protection: Protection) -> io::Result<Mapping> {
        Ok(Mapping::of_file(&self.file, index, pages, protection)?)
    }

    /// Returns the open file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The device behind a descriptor that another program has opened.
impl From<OwnedFd> for Gntdev {
    fn from(descriptor: OwnedFd) -> Self {
        Self {
            file: descriptor.into(),
        }
    }
}

impl AsFd for Gntdev {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Segments in the form that the device takes.
pub struct PreparedCopy<'a> {
    device: &'a Gntdev,
    raw: Vec<RawSegment>,
    /// Keeps the memory that the segments name.
    _ends: PhantomData<&'a Bytes>,
}

impl PreparedCopy<'_> {
    /// Copies all segments.
    pub fn copy(&mut self) -> io::Result<()> {
        // SAFETY: The request may write the memory that the segments name: it holds no Rust object
        // and outlives this call.
        self.device
            .copy_at(self.raw.as_mut_ptr() as usize, self.raw.len() as u32)
    }

    /// Returns the status of each segment, of the last copy.
    pub fn statuses(&self) -> impl Iterator<Item = i16> + '_ {
        self.raw.iter().map(RawSegment::status)
    }
}
