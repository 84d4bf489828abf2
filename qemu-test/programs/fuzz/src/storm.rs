// SPDX-License-Identifier: GPL-2.0

//! Threads that call the device at the same time, on the same files, regions and mappings.
//!
//! Their results depend on the order of the calls, so each call has a list of the errors that it
//! may return in any order. A crash, a hang and things that are left behind are found as in a run.

use std::fs;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;
use std::thread;
use std::time::Duration;

use guest_test::errno::EACCES;
use guest_test::errno::EAGAIN;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::EOPNOTSUPP;
use guest_test::errno::ETIMEDOUT;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::Gntdev;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::readiness::wait_readable;
use guest_test::totals;
use suites::granter::Granter;
use suites::granter::Share;
use suites::local::LocalGranter;
use suites::random::Random;
use suites::remote::RemoteGranter;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_share::Access;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::setting::Setting;
use crate::tally::Column;
use crate::tally::Tally;

/// Number of open files of the device.
const FILES: usize = 2;
/// Number of slots for regions, for mappings and for dma-bufs.
const SLOTS: usize = 6;
/// Number of pages of a share.
const PAGES: usize = 4;

/// Time between two changes of the shares.
const PAUSE: Duration = Duration::from_millis(20);

/// Region of a file.
#[derive(Clone, Copy)]
struct Region {
    file: usize,
    index: u64,
    count: usize,
}

/// Things that all threads use.
struct Shared {
    files: [Gntdev; FILES],
    grants: RwLock<Vec<GrantRef>>,
    regions: Mutex<[Option<Region>; SLOTS]>,
    mappings: Mutex<[Option<Arc<Mapping>>; SLOTS]>,
    buffers: Mutex<[Option<Arc<DmaBuf>>; SLOTS]>,
    port: u32,
}

/// Result of a call: `None` if the slots did not hold the things that it takes.
type CallResult = Option<io::Result<()>>;

/// A call: its name, the function that makes it, and the errors that it may return.
type Call = (
    &'static str,
    fn(&Shared, &mut Random) -> CallResult,
    &'static [i32],
);

const CALLS: [Call; 18] = [
    ("insert", insert, &[]),
    ("remove", remove, &[ENOENT]),
    ("map", map, &[EINVAL, EAGAIN, EOPNOTSUPP]),
    ("unmap", unmap, &[]),
    ("protect", protect, &[EACCES]),
    ("discard", discard, &[EINVAL]),
    ("relocate", relocate, &[EFAULT, EINVAL]),
    ("load", load, &[EFAULT]),
    ("store", store, &[EFAULT]),
    ("place-of", place_of, &[EINVAL]),
    ("notify", notify, &[ENOENT, EINVAL]),
    ("copy", copy, &[EFAULT]),
    ("export", export, &[EINVAL, EOPNOTSUPP]),
    ("close-buffer", close_buffer, &[]),
    ("map-buffer", map_buffer, &[EINVAL]),
    ("wait", wait, &[ENOENT, ETIMEDOUT]),
    ("read", read, &[EAGAIN]),
    ("show", show, &[]),
];

/// Has `threads` threads make `count` calls each, which `seed` names. Meanwhile the domains end
/// shares and grant others. Returns the number of calls, or a message about an unexpected error.
///
/// # Errors
///
/// Those of the granters.
pub fn execute(
    setting: Setting,
    seed: u64,
    threads: usize,
    count: usize,
) -> io::Result<Result<Tally, String>> {
    let mut owners = Owners::new(setting)?;
    let channel = Loopback::open(DOM0)?;
    let shared = Shared {
        files: [Gntdev::open()?, Gntdev::open()?],
        grants: RwLock::new(owners.grants()),
        regions: Mutex::new([None; SLOTS]),
        mappings: Mutex::new([const { None }; SLOTS]),
        buffers: Mutex::new([const { None }; SLOTS]),
        port: channel.port(),
    };
    let shared = &shared;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let seed = seed.wrapping_mul(threads as u64).wrapping_add(thread);
                scope.spawn(move || calls(shared, seed, count))
            })
            .collect();
        let mut changed = Ok(());
        while changed.is_ok() && !callers.iter().all(|caller| caller.is_finished()) {
            thread::sleep(PAUSE);
            changed = owners.change().map(|()| {
                *shared.grants.write().expect("no thread panics") = owners.grants();
            });
        }
        let mut sum = Tally::default();
        let mut failure = None;
        for caller in callers {
            match caller.join().expect("no thread panics") {
                Ok(tally) => sum.add(&tally),
                Err(message) => failure = Some(message),
            }
        }
        changed?;
        Ok(match failure {
            None => Ok(sum),
            Some(message) => Err(message),
        })
    })
}

/// Makes the calls of one thread.
fn calls(shared: &Shared, seed: u64, count: usize) -> Result<Tally, String> {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for _ in 0..count {
        let (name, call, errors) = CALLS[random.below(CALLS.len())];
        let result = call(shared, &mut random);
        if let Some(Err(error)) = &result {
            let is_expected = error
                .raw_os_error()
                .is_some_and(|one| errors.contains(&one));
            if !is_expected {
                return Err(format!("{name}: {error}, expected one of {errors:?}"));
            }
        }
        tally.count(
            name,
            match result {
                Some(Ok(())) => Column::Succeeded,
                Some(Err(_)) => Column::Refused,
                None => Column::Nothing,
            },
        );
    }
    Ok(tally)
}

/// The domains that grant pages, and their shares: one of dom0 and one of the domU.
struct Owners {
    own: LocalGranter,
    domu: Option<RemoteGranter>,
    shares: [Option<Share>; 2],
    next: usize,
}

impl Owners {
    fn new(setting: Setting) -> io::Result<Self> {
        let mut owners = Self {
            own: LocalGranter::new(DOM0, DOM0)?,
            domu: setting.domu.map(RemoteGranter::connect).transpose()?,
            shares: [None, None],
            next: 0,
        };
        owners.change()?;
        owners.change()?;
        Ok(owners)
    }

    /// Replaces one of the shares.
    fn change(&mut self) -> io::Result<()> {
        let slot = self.next % self.shares.len();
        self.next += 1;
        let granter: &mut dyn Granter = match &mut self.domu {
            Some(domu) if slot == 0 => domu,
            _ => &mut self.own,
        };
        if let Some(former) = self.shares[slot].take() {
            granter.unshare(former)?;
        }
        self.shares[slot] = Some(granter.share(PAGES, Access::ReadWrite)?);
        Ok(())
    }

    fn grants(&self) -> Vec<GrantRef> {
        let shares = self.shares.iter().flatten();
        shares
            .flat_map(|share| share.grants.iter().copied())
            .collect()
    }
}

impl Shared {
    fn grant(&self, random: &mut Random) -> GrantRef {
        let grants = self.grants.read().expect("no thread panics");
        grants[random.below(grants.len())]
    }

    fn region(&self, random: &mut Random) -> Option<Region> {
        self.regions.lock().expect("no thread panics")[random.below(SLOTS)]
    }

    fn mapping(&self, random: &mut Random) -> Option<Arc<Mapping>> {
        let mappings = self.mappings.lock().expect("no thread panics");
        mappings[random.below(SLOTS)].clone()
    }

    /// Puts a mapping into a slot. The former one is unmapped after the lock has been released.
    fn keep(&self, random: &mut Random, mapping: Option<Mapping>) -> Option<Arc<Mapping>> {
        let mut mappings = self.mappings.lock().expect("no thread panics");
        let slot = &mut mappings[random.below(SLOTS)];
        std::mem::replace(slot, mapping.map(Arc::new))
    }

    fn buffer(&self, random: &mut Random) -> Option<Arc<DmaBuf>> {
        let buffers = self.buffers.lock().expect("no thread panics");
        buffers[random.below(SLOTS)].clone()
    }

    fn file(&self, random: &mut Random) -> &Gntdev {
        &self.files[random.below(FILES)]
    }
}

fn protection(random: &mut Random) -> Protection {
    [Protection::None, Protection::Read, Protection::ReadWrite][random.below(3)]
}

fn insert(shared: &Shared, random: &mut Random) -> CallResult {
    let grants: Vec<_> = (0..1 + random.below(PAGES))
        .map(|_| shared.grant(random))
        .collect();
    let file = random.below(FILES);
    Some(shared.files[file].insert(&grants).map(|index| {
        let slot = random.below(SLOTS);
        shared.regions.lock().expect("no thread panics")[slot] = Some(Region {
            file,
            index,
            count: grants.len(),
        });
    }))
}

fn remove(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, count } = shared.region(random)?;
    Some(shared.files[file].remove(index, count as u32))
}

fn map(shared: &Shared, random: &mut Random) -> CallResult {
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

fn unmap(shared: &Shared, random: &mut Random) -> CallResult {
    shared.keep(random, None).map(|mapping| {
        drop(mapping);
        Ok(())
    })
}

fn protect(shared: &Shared, random: &mut Random) -> CallResult {
    Some(shared.mapping(random)?.protect(protection(random)))
}

fn discard(shared: &Shared, random: &mut Random) -> CallResult {
    Some(shared.mapping(random)?.discard())
}

/// Nothing is done if another thread uses the mapping: its addresses must not change then.
fn relocate(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = Arc::into_inner(shared.keep(random, None)?)?;
    Some(
        mapping
            .relocate()
            .map(|moved| drop(shared.keep(random, Some(moved)))),
    )
}

fn load(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    Some(
        UnixStream::pair().and_then(|(_reader, writer)| mapping.write_to(writer.as_fd()).map(drop)),
    )
}

fn store(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    let bytes = vec![random.below(256) as u8; mapping.len()];
    Some(UnixStream::pair().and_then(|(reader, mut writer)| {
        writer.write_all(&bytes)?;
        mapping.read_from(reader.as_fd()).map(drop)
    }))
}

fn place_of(shared: &Shared, random: &mut Random) -> CallResult {
    let mapping = shared.mapping(random)?;
    Some(shared.file(random).place_of(mapping.address()).map(drop))
}

fn notify(shared: &Shared, random: &mut Random) -> CallResult {
    let Region { file, index, count } = shared.region(random)?;
    let index = index + random.below(count * PAGE_SIZE) as u64;
    Some(shared.files[file].set_notify(index, random.below(4) as u32, shared.port))
}

/// Copies from or to a mapping, which other threads may protect or discard.
fn copy(shared: &Shared, random: &mut Random) -> CallResult {
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

fn export(shared: &Shared, random: &mut Random) -> CallResult {
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

fn close_buffer(shared: &Shared, random: &mut Random) -> CallResult {
    let mut buffers = shared.buffers.lock().expect("no thread panics");
    let former = buffers[random.below(SLOTS)].take();
    drop(buffers);
    former.map(|former| {
        drop(former);
        Ok(())
    })
}

fn map_buffer(shared: &Shared, random: &mut Random) -> CallResult {
    let buffer = shared.buffer(random)?;
    let mapped = buffer.map_part(0, 1 + random.below(PAGES), protection(random));
    let mapped = mapped.map_err(io::Error::from);
    Some(mapped.map(|mapped| drop(shared.keep(random, Some(mapped)))))
}

fn wait(shared: &Shared, random: &mut Random) -> CallResult {
    let number = shared.buffer(random)?.number();
    let limit = random.below(3) as u32;
    Some(shared.file(random).wait_released(number, limit))
}

fn read(shared: &Shared, random: &mut Random) -> CallResult {
    let file = shared.file(random);
    let polled = wait_readable(file.as_fd(), Duration::from_millis(1));
    Some(polled.and_then(|_| file.read(&mut [0; size_of::<u64>()]).map(drop)))
}

/// Reads what the driver shows of the file, and its totals.
fn show(shared: &Shared, random: &mut Random) -> CallResult {
    let number = shared.file(random).as_fd().as_raw_fd();
    let shown = fs::read(format!("/proc/self/fdinfo/{number}"));
    Some(shown.and_then(|_| totals::read().map(drop)))
}
