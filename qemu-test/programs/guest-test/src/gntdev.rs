// SPDX-License-Identifier: GPL-2.0

//! The grant device itself, for what libxengnttab does not show: indexes,
//! wrong arguments, and mappings made by hand.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use xen_grants::bytes::Bytes;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_copy::Segment;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;

use crate::call::check;
use crate::grant_dma_buf::EXPORT_AT_HEADER;
use crate::grant_dma_buf::EXPORT_HEADER;
use crate::grant_dma_buf::IMPORT_AT_HEADER;
use crate::grant_dma_buf::IMPORT_HEADER;

/// The device's path.
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

/// What is done when a region is unmapped, as bits of the request's action.
pub mod notify {
    /// Clear the byte at the index.
    pub const CLEAR_BYTE: u32 = 1;
    /// Send an event on the port.
    pub const SEND_EVENT: u32 = 2;
}

/// Size of what precedes the references in the argument of `MAP_GRANT_REF`:
/// count, padding, index.
pub const MAP_GRANT_REF_HEADER: usize = 16;

/// The most that a request writes back to its argument, if its argument is of
/// one size.
const LARGEST_ANSWER: usize = MAP_GRANT_REF_HEADER + size_of::<GrantRef>();

/// A request number of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(u32);

impl Request {
    /// Enters grants into the file's table.
    pub const MAP_GRANT_REF: Self = Self::new(0, LARGEST_ANSWER);
    /// Takes a region out of the file's table.
    pub const UNMAP_GRANT_REF: Self = Self::new(1, size_of::<UnmapGrantRef>());
    /// Finds the region that is mapped at an address.
    pub const GET_OFFSET_FOR_VADDR: Self = Self::new(2, size_of::<GetOffsetForVaddr>());
    /// Once told the device how many grants to expect.
    pub const SET_MAX_GRANTS: Self = Self::new(3, size_of::<SetMaxGrants>());
    /// Says what is done when a region is unmapped.
    pub const SET_UNMAP_NOTIFY: Self = Self::new(7, size_of::<UnmapNotify>());
    /// Copies from and to granted pages.
    pub const GRANT_COPY: Self = Self::new(8, size_of::<GrantCopy>());
    /// Makes a dma-buf of granted pages.
    pub const DMABUF_EXPORT: Self = Self::new(9, EXPORT_HEADER + size_of::<u32>());
    /// Waits for the end of a dma-buf that the file made.
    pub const DMABUF_WAIT_RELEASED: Self = Self::new(10, size_of::<[u32; 2]>());
    /// Grants the pages of a dma-buf.
    pub const DMABUF_IMPORT: Self = Self::new(11, IMPORT_HEADER + size_of::<u32>());
    /// Ends the grants of a dma-buf's pages.
    pub const DMABUF_RELEASE_IMPORT: Self = Self::new(12, size_of::<[u32; 2]>());
    /// Makes a dma-buf whose data begins at an offset.
    pub const DMABUF_EXPORT_AT: Self = Self::new(13, EXPORT_AT_HEADER + size_of::<u32>());
    /// Grants the pages of a dma-buf and tells at which offset its data begins.
    pub const DMABUF_IMPORT_AT: Self = Self::new(14, IMPORT_AT_HEADER + size_of::<u32>());
    /// A number that the device has never had.
    pub const UNKNOWN: Self = Self::new(0xee, 8);

    const fn new(number: u32, size: usize) -> Self {
        Self(((size as u32) << 16) | ((b'G' as u32) << 8) | number)
    }

    /// How much the device may write to the argument at offset `at` of
    /// `memory`. An import's says so itself, in its second word.
    fn largest_answer(self, memory: &Bytes, at: usize) -> usize {
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

/// An address that no argument can be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// The null pointer.
    Null,
    /// In the kernel's half of the address space.
    Kernel,
    /// The last page below the user's limit, which is never mapped.
    Limit,
    /// So near the end of all addresses that a sum wraps around.
    Wrapping,
}

impl BadAddress {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Null, Self::Kernel, Self::Limit, Self::Wrapping];

    const fn value(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Kernel => 0xffff_8880_0000_1000,
            Self::Limit => 0x7fff_ffff_f000,
            Self::Wrapping => usize::MAX - 7,
        }
    }

    /// The memory that begins at the address, as the end of a segment to be copied. A program that
    /// reads it ends.
    pub fn bytes(self) -> &'static Bytes {
        const fn at(address: BadAddress) -> Bytes {
            // SAFETY: No memory of this process is there.
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

/// A region's place, as `GET_OFFSET_FOR_VADDR` tells it.
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

    /// Enters `grants` as a region and returns its index, the offset for mmap.
    pub fn insert(&self, grants: &[GrantRef]) -> io::Result<u64> {
        self.insert_claiming(grants.len() as u32, grants)
    }

    /// As [`Self::insert`], but says that there are `count` grants.
    pub fn insert_claiming(&self, count: u32, grants: &[GrantRef]) -> io::Result<u64> {
        // The argument ends with an array of any length, so it is laid out by
        // hand: count and padding, index, then domain and reference of each.
        // The device writes back a first reference even where there is none.
        let mut words = vec![0u64; 2 + grants.len().max(1)];
        words[0] = count.into();
        words[1] = u64::MAX;
        for (word, grant) in words[2..].iter_mut().zip(grants) {
            *word = u64::from(grant.domid) | (u64::from(grant.reference) << 32);
        }
        // SAFETY: The device writes at most the header and one reference, which
        // the vector holds; it may read further, up to `count` references, but
        // then gets whatever bytes are there or an error.
        unsafe { self.ioctl(Request::MAP_GRANT_REF, words.as_mut_ptr() as usize)? };
        Ok(words[1])
    }

    /// Takes the region at `index` out of the file's table.
    pub fn remove(&self, index: u64, count: u32) -> io::Result<()> {
        let mut argument = UnmapGrantRef {
            index,
            count,
            pad: 0,
        };
        // SAFETY: The argument is what this request wants.
        unsafe { self.ioctl(Request::UNMAP_GRANT_REF, &raw mut argument as usize) }
    }

    /// Where the region that is mapped at `vaddr` lies in the file.
    pub fn place_of(&self, vaddr: usize) -> io::Result<Place> {
        let mut argument = GetOffsetForVaddr {
            vaddr: vaddr as u64,
            offset: 0,
            count: 0,
            pad: 0,
        };
        // SAFETY: The argument is what this request wants.
        unsafe { self.ioctl(Request::GET_OFFSET_FOR_VADDR, &raw mut argument as usize)? };
        Ok(Place {
            offset: argument.offset,
            count: argument.count,
        })
    }

    /// The request that old libraries begin with.
    pub fn set_max_grants(&self, count: u32) -> io::Result<()> {
        let mut argument = SetMaxGrants { count };
        // SAFETY: The argument is what this request wants.
        unsafe { self.ioctl(Request::SET_MAX_GRANTS, &raw mut argument as usize) }
    }

    /// Says what is done when the region that byte `index` is in is unmapped:
    /// `action` is of the bits in [`notify`].
    pub fn set_notify(&self, index: u64, action: u32, port: u32) -> io::Result<()> {
        let mut argument = UnmapNotify {
            index,
            action,
            port,
        };
        // SAFETY: The argument is what this request wants.
        unsafe { self.ioctl(Request::SET_UNMAP_NOTIFY, &raw mut argument as usize) }
    }

    /// Copies segments and returns the status of each.
    pub fn copy(&self, segments: &[Segment<'_>]) -> io::Result<Vec<i16>> {
        let mut prepared = self.prepare_copy(segments);
        prepared.copy()?;
        Ok(prepared.statuses().collect())
    }

    /// Gets segments ready to be copied any number of times.
    pub fn prepare_copy<'a>(&'a self, segments: &'a [Segment<'_>]) -> PreparedCopy<'a> {
        PreparedCopy {
            device: self,
            raw: segments.iter().map(Segment::raw).collect(),
            _ends: PhantomData,
        }
    }

    /// Copies `count` segments whose encodings are in `memory` from offset `at`
    /// on, or whatever zeroes are there. Parts of it may be protected.
    pub fn copy_encoded(&self, memory: &Bytes, at: usize, count: u32) -> io::Result<()> {
        assert!(at + count as usize * RawSegment::SIZE <= memory.len());
        self.copy_at(memory.address() + at, count)
    }

    /// Copies `count` segments that cannot be read.
    pub fn copy_at_bad_address(&self, address: BadAddress, count: u32) -> io::Result<()> {
        self.copy_at(address.value(), count)
    }

    fn copy_at(&self, segments: usize, count: u32) -> io::Result<()> {
        let mut argument = GrantCopy {
            count,
            pad: 0,
            segments: segments as u64,
        };
        // SAFETY: The argument is what this request wants. What it names is
        // memory without Rust objects, as the callers see to.
        unsafe { self.ioctl(Request::GRANT_COPY, &raw mut argument as usize) }
    }

    /// read(2) of the open file.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Sends `request` with an argument at offset `at` of `memory`, parts of
    /// which may be protected.
    pub fn request_at(&self, request: Request, memory: &Bytes, at: usize) -> io::Result<()> {
        assert!(at + request.largest_answer(memory, at) <= memory.len());
        // SAFETY: `memory` holds no Rust object, and no request writes more
        // than what was just found to fit in it.
        unsafe { self.ioctl(request, memory.address() + at) }
    }

    /// Sends `request` with an argument that cannot be read.
    pub fn request_at_bad_address(&self, request: Request, address: BadAddress) -> io::Result<()> {
        // SAFETY: No memory of this process is at any of these addresses.
        unsafe { self.ioctl(request, address.value()) }
    }

    /// # Safety
    ///
    /// The memory at `argument` must be free to be written by the request.
    pub(crate) unsafe fn ioctl(&self, request: Request, argument: usize) -> io::Result<()> {
        // SAFETY: Passed on to the caller.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), request.0.into(), argument) })
    }

    /// Maps the region at `index` for all to see, as a program does.
    pub fn map(&self, index: u64, pages: usize, protection: Protection) -> io::Result<Mapping> {
        Ok(Mapping::of_file(&self.file, index, pages, protection)?)
    }

    /// The open file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsFd for Gntdev {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Segments in the form that the device wants.
pub struct PreparedCopy<'a> {
    device: &'a Gntdev,
    raw: Vec<RawSegment>,
    /// The memory that the segments name must stay.
    _ends: PhantomData<&'a Bytes>,
}

impl PreparedCopy<'_> {
    /// Copies them all.
    pub fn copy(&mut self) -> io::Result<()> {
        // What the segments name may be written: it is bytes without Rust
        // objects that outlive this.
        self.device
            .copy_at(self.raw.as_mut_ptr() as usize, self.raw.len() as u32)
    }

    /// The status of each, of the last time.
    pub fn statuses(&self) -> impl Iterator<Item = i16> + '_ {
        self.raw.iter().map(RawSegment::status)
    }
}
