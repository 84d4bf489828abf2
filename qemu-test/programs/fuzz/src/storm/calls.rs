// SPDX-License-Identifier: GPL-2.0

//! Calls of the threads.

use std::fs;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::readiness::wait_readable;
use guest_test::totals;
use suites::random::Random;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use super::shared::Region;
use super::shared::Shared;
use super::shared::FILES;
use super::shared::PAGES;
use super::shared::SLOTS;

/// Result of a call: `None` if the slots did not hold the things that it takes.
pub type CallResult = Option<io::Result<()>>;

fn protection(random: &mut Random) -> Protection {
    [Protection::None, Protection::Read, Protection::ReadWrite][random.below(3)]
}

/// Adds a region.
pub fn insert(shared: &Shared, random: &mut Random) -> CallResult {
    let grants: Vec<_> = (0..1 + random.below(PAGES))
        .map(|_| shared.grant(random))
        .collect();
    let file = random.below(FILES);
    Some(shared.files[file].insert(&grants).map(|index| {
        let region = Region {
            file,
            index,
            count: grants.len(),
        };
        shared.regions.put(random.below(SLOTS), region);
    }))
}

/// Removes a region.
pub fn remove(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, count } = shared.region(random)?;
    Some(shared.files[file].remove(index, count as u32))
}

/// Maps a region.
pub fn map(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, count } = shared.region(random)?;
    let file = &shared.files[file];
    let protection = protection(random);
    let mapped = if random.below(4) == 0 {
        mapping::private(file.as_fd(), index, count, protection)
    } else {
        file.map(index, count, protection)
    };
    Some(mapped.map(|mapped| drop(shared.keep(random, Some(mapped)))))
}

/// Unmaps.
pub fn unmap(shared: &Shared, random: &mut Random) -> CallResult {
    shared.keep(random, None).map(|mapping| {
        drop(mapping);
        Ok(())
    })
}

/// Changes access rights.
pub fn protect(shared: &Shared, random: &mut Random) -> CallResult {
    Some(shared.mapping(random)?.protect(protection(random)))
}

/// Drops page-table entries.
pub fn discard(shared: &Shared, random: &mut Random) -> CallResult {
    Some(shared.mapping(random)?.discard())
}

/// Moves a mapping. Nothing is done if another thread uses the mapping: its addresses must not
/// change then.
pub fn relocate(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = Arc::into_inner(shared.keep(random, None)?)?;
    Some(
        mapping
            .relocate()
            .map(|moved| drop(shared.keep(random, Some(moved)))),
    )
}

/// Has the kernel read a mapping.
pub fn load(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    Some(
        UnixStream::pair().and_then(|(_reader, writer)| mapping.write_to(writer.as_fd()).map(drop)),
    )
}

/// Has the kernel write a mapping.
pub fn store(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    let bytes = vec![random.below(256) as u8; mapping.len()];
    Some(UnixStream::pair().and_then(|(reader, mut writer)| {
        writer.write_all(&bytes)?;
        mapping.read_from(reader.as_fd()).map(drop)
    }))
}

/// Looks up a mapping.
pub fn place_of(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    Some(shared.file(random).place_of(mapping.address()).map(drop))
}

/// Sets a notification.
pub fn notify(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, count } = shared.region(random)?;
    let index = index + random.below(count * PAGE_SIZE) as u64;
    Some(shared.files[file].set_notify(index, random.below(4) as u32, shared.port))
}

/// Copies from or to a mapping, which other threads may protect or discard.
pub fn copy(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    let granted = End::Grant(shared.grant(random), 0);
    let local = End::Local(&mapping, 0);
    let (source, destination) = match random.below(2) {
        0 => (granted, local),
        _ => (local, granted),
    };
    let segment = Segment {
        source,
        destination,
        length: random.below(PAGE_SIZE) as u16,
    };
    Some(shared.file(random).copy(&[segment; 3]).map(drop))
}

/// Makes a dma-buf.
pub fn export(shared: &Shared, random: &mut Random) -> CallResult {
    let GrantRef { domid, reference } = shared.grant(random);
    let references = vec![reference; 1 + random.below(PAGES)];
    let flags = random.below(3) as u32;
    let exported = shared.file(random).export(flags, domid, &references);
    Some(exported.map(|exported| {
        let mut buffers = shared.buffers.lock().expect("no thread panics");
        let former = buffers[random.below(SLOTS)].replace(Arc::new(exported));
        drop(buffers);
        drop(former);
    }))
}

/// Closes a dma-buf.
pub fn close_buffer(shared: &Shared, random: &mut Random) -> CallResult {
    let mut buffers = shared.buffers.lock().expect("no thread panics");
    let former = buffers[random.below(SLOTS)].take();
    drop(buffers);
    former.map(|former| {
        drop(former);
        Ok(())
    })
}

/// Maps a dma-buf.
pub fn map_buffer(shared: &Shared, random: &mut Random) -> CallResult {
    let buffer = shared.buffer(random)?;
    let mapped = buffer.map_part(0, 1 + random.below(PAGES), protection(random));
    let mapped = mapped.map_err(io::Error::from);
    Some(mapped.map(|mapped| drop(shared.keep(random, Some(mapped)))))
}

/// Waits for the release of a dma-buf.
pub fn wait(shared: &Shared, random: &mut Random) -> CallResult {
    let number = shared.buffer(random)?.number();
    let limit = random.below(3) as u32;
    Some(shared.file(random).wait_released(number, limit))
}

/// Reads the device.
pub fn read(shared: &Shared, random: &mut Random) -> CallResult {
    let file = shared.file(random);
    let polled = wait_readable(file.as_fd(), Duration::from_millis(1));
    Some(polled.and_then(|_| file.read(&mut [0; size_of::<u64>()]).map(drop)))
}

/// Reads what the driver shows of the file, and its totals.
pub fn show(shared: &Shared, random: &mut Random) -> CallResult {
    let number = shared.file(random).as_fd().as_raw_fd();
    let shown = fs::read(format!("/proc/self/fdinfo/{number}"));
    Some(shown.and_then(|_| totals::read().map(drop)))
}
