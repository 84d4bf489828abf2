// SPDX-License-Identifier: GPL-2.0

//! Requests of the grant device as a 32-bit program makes them: by the system call `int 0x80` of
//! x86, which the kernel treats alike in a 64-bit program. Pointers have 32 bits then.

use std::io;
use std::ops::Deref;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::ptr;

use rustix::mm;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;
use xen_grants::bytes::Bytes;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_copy::Segment;
use xen_grants::mapping::Mapping;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::gntdev::Gntdev;
use crate::gntdev::Place;
use crate::gntdev::Request;

/// `MAP_32BIT` of x86.
const MAP_32BIT: u32 = 0x40;

/// Size of the argument of [`Request::GRANT_COPY_32`].
const COPY_ARGUMENT: usize = 2 * size_of::<u32>();

/// Byte in the upper halves of addresses, which a 32-bit program does not set.
const UNSET: u8 = 0xa5;

/// Memory whose addresses fit in 32 bits.
#[derive(Debug)]
pub struct LowMemory(Mapping);

impl LowMemory {
    /// Maps `pages` pages of zeroes.
    pub fn new(pages: usize) -> io::Result<Self> {
        let length = pages * PAGE_SIZE;
        let flags = MapFlags::PRIVATE | MapFlags::from_bits_retain(MAP_32BIT);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: Without a fixed address the kernel only uses free ones.
        let address = unsafe { mm::mmap_anonymous(ptr::null_mut(), length, protection, flags) }?;
        // SAFETY: The mapping is new, and the object its only owner.
        let mapping = unsafe { Mapping::from_raw(address as usize, length) };
        assert!(is_low(&mapping), "not below 4 GiB: {mapping:?}");
        Ok(Self(mapping))
    }

    fn argument(&self) -> u32 {
        self.0.address() as u32
    }
}

impl Deref for LowMemory {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

/// Returns the lower and the upper half of a number, in the order in which they lie in memory.
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

fn joined(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

fn is_low(bytes: &Bytes) -> bool {
    u32::try_from(bytes.address() + bytes.len()).is_ok()
}

/// Requests of 32-bit programs.
impl Gntdev {
    /// Sends `request` with `words` as its argument, and replaces them by those that the device
    /// left there. Not for a request whose argument has a pointer in it.
    pub fn request_32(&self, request: Request, words: &mut [u32]) -> io::Result<()> {
        assert_ne!(request, Request::GRANT_COPY_32);
        let memory = LowMemory::new(1 + size_of_val(words) / PAGE_SIZE)?;
        for (index, word) in words.iter().enumerate() {
            memory.write_all(index * size_of::<u32>(), &word.to_ne_bytes());
        }
        assert!(request.largest_answer(&memory, 0) <= memory.len());
        // SAFETY: The memory holds no Rust object, and the request writes no more bytes than were
        // just found to fit in it.
        let result = unsafe { ioctl(self, request, memory.argument()) };
        for (index, word) in words.iter_mut().enumerate() {
            let bytes = memory.read_vec(index * size_of::<u32>(), size_of::<u32>());
            *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
        }
        result
    }

    /// Adds `grants` as a region and returns its index.
    pub fn insert_32(&self, grants: &[GrantRef]) -> io::Result<u64> {
        let mut words = vec![grants.len() as u32, 0, u32::MAX, u32::MAX];
        words.extend(
            grants
                .iter()
                .flat_map(|grant| [grant.domid, grant.reference]),
        );
        self.request_32(Request::MAP_GRANT_REF, &mut words)?;
        Ok(joined(words[2], words[3]))
    }

    /// Removes the region at `index` from the file.
    pub fn remove_32(&self, index: u64, count: u32) -> io::Result<()> {
        let [low, high] = halves(index);
        self.request_32(Request::UNMAP_GRANT_REF, &mut [low, high, count, 0])
    }

    /// Returns the location in the file of the region that is mapped at `vaddr`.
    pub fn place_of_32(&self, vaddr: usize) -> io::Result<Place> {
        let [low, high] = halves(vaddr as u64);
        let mut words = [low, high, u32::MAX, u32::MAX, u32::MAX, 0];
        self.request_32(Request::GET_OFFSET_FOR_VADDR, &mut words)?;
        Ok(Place {
            offset: joined(words[2], words[3]),
            count: words[4],
        })
    }

    /// Sets the actions when the region that contains byte `index` is unmapped.
    pub fn set_notify_32(&self, index: u64, action: u32, port: u32) -> io::Result<()> {
        let [low, high] = halves(index);
        self.request_32(Request::SET_UNMAP_NOTIFY, &mut [low, high, action, port])
    }

    /// Exports grants of domain `domid` as a dma-buf.
    pub fn export_32(&self, flags: u32, domid: u32, references: &[u32]) -> io::Result<DmaBuf> {
        let header = [flags, references.len() as u32, u32::MAX, domid];
        let mut words = [&header[..], references].concat();
        self.request_32(Request::DMABUF_EXPORT, &mut words)?;
        let fd = i32::try_from(words[2]).map_err(io::Error::other)?;
        // SAFETY: The driver has just opened the descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
    }

    /// Copies `count` segments from the null address.
    pub fn copy_at_null_32(&self, count: u32) -> io::Result<()> {
        let memory = LowMemory::new(1)?;
        memory.write_all(0, &count.to_ne_bytes());
        // SAFETY: The request reads segments at the null address, where no memory is.
        unsafe { ioctl(self, Request::GRANT_COPY_32, memory.argument()) }
    }

    /// Copies segments and returns the status of each. Their local ends must be in [`LowMemory`].
    /// The upper halves of the addresses in the segments are arbitrary, as in a 32-bit program.
    pub fn copy_32(&self, segments: &[Segment<'_>]) -> io::Result<Vec<i16>> {
        const HALF: usize = size_of::<u32>();
        let end = COPY_ARGUMENT + segments.len() * RawSegment::SIZE;
        let memory = LowMemory::new(end.div_ceil(PAGE_SIZE))?;
        let array = memory.argument() + COPY_ARGUMENT as u32;
        memory.write_all(0, &(segments.len() as u32).to_ne_bytes());
        memory.write_all(HALF, &array.to_ne_bytes());
        for (number, segment) in segments.iter().enumerate() {
            let mut bytes = segment.raw().to_bytes();
            for (half, end) in [(HALF, segment.source), (3 * HALF, segment.destination)] {
                if let End::Local(local, _) = end {
                    assert!(is_low(local), "not below 4 GiB: {local:?}");
                    bytes[half..half + HALF].fill(UNSET);
                }
            }
            memory.write_all(COPY_ARGUMENT + number * RawSegment::SIZE, &bytes);
        }
        // SAFETY: The request writes statuses to the array, which is in memory without a Rust
        // object, and the local ends of the segments, which `raw()` has checked. With the halves
        // that were set here an address is one that no mapping can have.
        unsafe { ioctl(self, Request::GRANT_COPY_32, memory.argument()) }?;
        Ok((0..segments.len())
            .map(|number| {
                let at = COPY_ARGUMENT + number * RawSegment::SIZE + RawSegment::STATUS_OFFSET;
                let bytes = memory.read_vec(at, size_of::<i16>());
                i16::from_ne_bytes(bytes.try_into().expect("two bytes"))
            })
            .collect())
    }
}

/// Calls ioctl(2) as a 32-bit program does.
///
/// # Safety
///
/// The memory at `argument` must hold no Rust object as far as the request writes it.
#[cfg(target_arch = "x86_64")]
unsafe fn ioctl(device: &Gntdev, request: Request, argument: u32) -> io::Result<()> {
    use std::arch::asm;
    use std::os::fd::AsRawFd;

    /// Number of the system call in the 32-bit table.
    const IOCTL: i32 = 54;

    let result: i32;
    // SAFETY: By this function's safety requirements. The compiler reserves `rbx`, which therefore
    // takes the descriptor for the time of the call only. The kernel may change `r8` to `r11`.
    unsafe {
        asm!(
            "xchg {descriptor:r}, rbx",
            "int 0x80",
            "xchg {descriptor:r}, rbx",
            descriptor = in(reg) i64::from(device.file().as_raw_fd()),
            inout("eax") IOCTL => result,
            in("ecx") request.number(),
            in("edx") argument,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

/// # Safety
///
/// None: the call fails.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn ioctl(_: &Gntdev, _: Request, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
