// SPDX-License-Identifier: GPL-2.0

//! Calls whose argument, or whose bytes to copy, are in memory that other threads unmap and protect
//! meanwhile. The device then reads a part of the argument, zeroes, or nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use guest_test::errno::EFAULT;
use guest_test::errno::EIO;
use guest_test::gntdev::Request;
use guest_test::mapping::MappingCalls;
use suites::random::Random;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::RawSegment;
use xen_grants::grant_copy::Segment;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use super::calls::CallResult;
use super::shared::Region;
use super::shared::Shared;

/// Offsets of the arguments in the memory. Each has a place of its own, so that the device finds
/// the right argument or zeroes.
const INSERT: usize = 0;
const REMOVE: usize = 256;
const NOTIFY: usize = 512;
const SEGMENTS: usize = 768;
const EXPORT: usize = 1024;
/// Offset of bytes to be copied.
const BYTES: usize = 2048;

/// Unmaps the memory, and maps fresh memory at its addresses.
pub fn replace(shared: &Shared, _: &mut Random) -> CallResult {
    Some(shared.vanishing.replace())
}

/// Changes the access rights of the memory.
pub fn protect(shared: &Shared, random: &mut Random) -> CallResult {
    let protections = [
        Protection::None,
        Protection::Read,
        Protection::ReadWrite,
        Protection::ReadWrite,
    ];
    let protection = protections[random.below(protections.len())];
    Some(shared.vanishing.protect(protection))
}

/// Writes `bytes` to the memory, also while it is protected. `EFAULT` stands for the `EIO` that
/// this returns while the memory is being replaced: the device must not return that.
fn write(shared: &Shared, at: usize, bytes: &[u8]) -> io::Result<()> {
    let address = (shared.vanishing.address() + at) as u64;
    let memory = File::options().write(true).open("/proc/self/mem")?;
    match memory.write_all_at(bytes, address) {
        Err(error) if error.raw_os_error() == Some(EIO) => {
            Err(io::Error::from_raw_os_error(EFAULT))
        }
        result => result,
    }
}

/// Writes `words` to the memory, and makes the request with them.
fn request(
    shared: &Shared,
    file: usize,
    request: Request,
    at: usize,
    words: &[u32],
) -> io::Result<()> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    write(shared, at, &bytes)?;
    shared.files[file].request_at(request, &shared.vanishing, at)
}

fn low_and_high(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Adds a region, whose offset nobody learns.
pub fn insert(shared: &Shared, random: &mut Random) -> CallResult {
    let GrantRef { domid, reference } = shared.grant(random);
    let file = random.below(shared.files.len());
    let words = [1, 0, 0, 0, domid, reference];
    Some(request(
        shared,
        file,
        Request::MAP_GRANT_REF,
        INSERT,
        &words,
    ))
}

/// Removes a region.
pub fn remove(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, count } = shared.region(random)?;
    let [low, high] = low_and_high(index);
    let words = [low, high, count as u32, 0];
    Some(request(
        shared,
        file,
        Request::UNMAP_GRANT_REF,
        REMOVE,
        &words,
    ))
}

/// Sets a notification.
pub fn notify(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, .. } = shared.region(random)?;
    let [low, high] = low_and_high(index);
    let words = [low, high, random.below(4) as u32, shared.port];
    Some(request(
        shared,
        file,
        Request::SET_UNMAP_NOTIFY,
        NOTIFY,
        &words,
    ))
}

/// Makes a dma-buf. The descriptor stays open until the process ends.
pub fn export(shared: &Shared, random: &mut Random) -> CallResult {
    let GrantRef { domid, reference } = shared.grant(random);
    let file = random.below(shared.files.len());
    let words = [0, 1, 0, domid, reference];
    Some(request(
        shared,
        file,
        Request::DMABUF_EXPORT,
        EXPORT,
        &words,
    ))
}

fn segment<'a>(shared: &'a Shared, random: &mut Random) -> Segment<'a> {
    let granted = End::Grant(shared.grant(random), 0);
    let local = End::Local(&shared.vanishing, BYTES);
    let (source, destination) = match random.below(2) {
        0 => (granted, local),
        _ => (local, granted),
    };
    Segment {
        source,
        destination,
        length: random.below(PAGE_SIZE - BYTES) as u16,
    }
}

/// Copies by segments that vanish.
pub fn copy_segments(shared: &Shared, random: &mut Random) -> CallResult {
    const COUNT: usize = 4;
    let segments = [(); COUNT].map(|()| segment(shared, random).raw());
    let bytes: Vec<u8> = segments.iter().flat_map(RawSegment::to_bytes).collect();
    let written = write(shared, SEGMENTS, &bytes);
    let file = shared.file(random);
    Some(written.and_then(|()| file.copy_encoded(&shared.vanishing, SEGMENTS, COUNT as u32)))
}

/// Copies from or to bytes that vanish.
pub fn copy_bytes(shared: &Shared, random: &mut Random) -> CallResult {
    let segments = [(); 3].map(|()| segment(shared, random));
    Some(shared.file(random).copy(&segments).map(drop))
}
