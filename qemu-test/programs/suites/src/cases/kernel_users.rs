// SPDX-License-Identifier: GPL-2.0

//! Parts of the kernel that hold pages of a mapping for longer than a system call: io_uring, which
//! pins its registered buffers, and TCP, which sends pages without a copy. A grant stays mapped
//! until they have let go of its page.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use guest_test::errno::EFAULT;
use guest_test::gntdev::Gntdev;
use guest_test::ktap::Stop;
use guest_test::ktap::Verdict;
use guest_test::mapping::Pipe;
use guest_test::pattern::pattern;
use guest_test::pattern::Pattern;
use guest_test::platform::Driver;
use guest_test::process::End;
use guest_test::processor;
use guest_test::registered_buffer::RegisteredBuffer;
use guest_test::signal::SIGKILL;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::GrantRef;
use xen_grants::PAGE_SIZE;

use crate::step::staying_child;
use crate::suite::rules;
use crate::suite::skip_case;
use crate::tcp;
use crate::wait::PATIENCE;
use crate::world::assert_error;
use crate::world::assert_released;
use crate::world::in_use;
use crate::world::World;

/// Pages that are sent by TCP: fewer than the buffers of both sockets hold.
const SENT: usize = 4;

rules![
    #[rule("io_uring reads and writes a mapping as a registered buffer")]
    fn registered(world: &mut World) -> Verdict {
        const BYTES: usize = 2 * PAGE_SIZE;
        let held = world.mapped(2, 120)?;
        let mut buffer = RegisteredBuffer::new(&held.mapping)?;
        let (mut reader, writer) = UnixStream::pair()?;
        let mut data = vec![0; BYTES];
        assert_eq!(buffer.write_to(writer.as_fd())?, BYTES);
        reader.read_exact(&mut data)?;
        assert!(data == bytes_of(120, BYTES), "other bytes came out");

        data.iter_mut().for_each(|byte| *byte = !*byte);
        reader.write_all(&data)?;
        assert_eq!(buffer.read_from(writer.as_fd())?, BYTES);
        let found = held.mapping.read_vec(0, BYTES);
        assert!(found == data, "other bytes went in");
        for at in [0, PAGE_SIZE + 5, BYTES - 1] {
            assert_eq!(world.granter.read(&held.share, at)?, data[at], "byte {at}");
        }
        Ok(())
    },

    #[rule("a registered buffer of io_uring works after munmap, until it is given up")]
    fn outlives_mapping(world: &mut World) -> Verdict {
        if lets_go_early(world) {
            return skip_case(LETS_GO_EARLY);
        }
        const BYTES: usize = 2 * PAGE_SIZE;
        let held = world.mapped(2, 121)?;
        let mut buffer = RegisteredBuffer::new(&held.mapping)?;
        held.mapping.unmap()?;
        held.device.remove(held.index, 2)?;
        drop(held.device);
        assert_eq!(in_use(&held.share.grants)?, 2);

        let (mut reader, mut writer) = UnixStream::pair()?;
        let mut data = vec![0; BYTES];
        for seed in [121, 122] {
            world.granter.fill(&held.share, seed)?;
            assert_eq!(buffer.write_to(writer.as_fd())?, BYTES);
            reader.read_exact(&mut data)?;
            assert!(data == bytes_of(seed, BYTES), "other bytes came out");
        }
        writer.write_all(&bytes_of(123, BYTES))?;
        assert_eq!(buffer.read_from(reader.as_fd())?, BYTES);
        world.assert_granter_sees(&held.share, 123);
        buffer.unregister()?;
        assert_released(&held.share.grants);
        Ok(())
    },

    #[rule("a process that is killed gives up its registered buffers of io_uring")]
    fn killed(world: &mut World) -> Verdict {
        if lets_go_early(world) {
            return skip_case(LETS_GO_EARLY);
        }
        let share = world.share(2)?;
        let mut child = staying_child(|report| {
            let device = Gntdev::open().expect("open");
            let index = device.insert(&share.grants).expect("insert");
            let mapping = device.map(index, 2, Protection::ReadWrite).expect("map");
            let _buffer = RegisteredBuffer::new(&mapping).expect("register");
            report.send_and_stay();
        })?;
        assert_eq!(in_use(&share.grants)?, 2, "the child's mapping");
        child.kill()?;
        assert_eq!(child.wait(PATIENCE)?, Some(End::Signalled(SIGKILL)));
        assert_released(&share.grants);
        Ok(())
    },

    /// The kernel may write any registered buffer.
    #[rule("a read-only mapping as a registered buffer of io_uring is EFAULT")]
    fn read_only(world: &mut World) -> Verdict {
        let share = world.share(1)?;
        world.granter.fill(&share, 124)?;
        let device = Gntdev::open()?;
        let index = device.insert(&share.grants)?;
        let mapping = device.map(index, 1, Protection::Read)?;
        let result = RegisteredBuffer::new(&mapping);
        assert_error(result.map(drop), EFAULT, "registering it");
        assert_eq!(mapping.first_difference(124), None);
        Ok(())
    },

    #[rule("pages in a TCP socket stay whole until the peer has read them")]
    fn read_by_peer(world: &mut World) -> Verdict {
        let (grants, _writer, mut reader) = sent_and_unmapped(world, 125)?;
        let mut data = vec![0; SENT * PAGE_SIZE];
        reader.read_exact(&mut data)?;
        assert!(
            data == bytes_of(125, SENT * PAGE_SIZE),
            "other bytes came out"
        );
        assert_released(&grants);
        Ok(())
    },

    #[rule("a TCP socket lets go of pages when its peer closes without reading them")]
    fn closed_by_peer(world: &mut World) -> Verdict {
        let (grants, _writer, reader) = sent_and_unmapped(world, 126)?;
        drop(reader);
        assert_released(&grants);
        Ok(())
    },

    #[rule("a process that is killed lets go of pages in its TCP sockets")]
    fn killed_with_sockets(world: &mut World) -> Verdict {
        if lets_go_early(world) {
            return skip_case(LETS_GO_EARLY);
        }
        let share = world.share(SENT)?;
        let mut child = staying_child(|report| {
            let device = Gntdev::open().expect("open");
            let index = device.insert(&share.grants).expect("insert");
            let mapping = device.map(index, SENT, Protection::ReadWrite).expect("map");
            let _sockets = sent(&mapping).expect("send");
            report.send_and_stay();
        })?;
        assert_eq!(in_use(&share.grants)?, SENT, "the child's mapping");
        child.kill()?;
        assert_eq!(child.wait(PATIENCE)?, Some(End::Signalled(SIGKILL)));
        assert_released(&share.grants);
        Ok(())
    }
];

const LETS_GO_EARLY: &str = "the C driver lets go of an entry that the hypervisor still holds";

/// True if unmapping a page that the kernel holds endangers the domain.
fn lets_go_early(world: &World) -> bool {
    world.is_paravirtual() && world.driver == Driver::C
}

/// Sends the pages of `mapping` by TCP without a copy, and returns the sockets of both ends.
///
/// The calling thread stays on one processor: a socket that is read on another one than that which
/// sent the data may keep the pages until something else comes there.
pub(super) fn sent(mapping: &Mapping) -> std::io::Result<(TcpStream, TcpStream)> {
    processor::stay_on_first()?;
    let (writer, reader) = tcp::connection()?;
    let pipe = Pipe::new()?;
    assert_eq!(pipe.take_pages(mapping)?, mapping.len());
    pipe.give_pages(writer.as_fd(), mapping.len())?;
    Ok((writer, reader))
}

/// Maps [`SENT`] pages, sends them by TCP, and ends the mapping, the region and the file. Returns
/// the grants, which are still in use, and the sockets.
fn sent_and_unmapped(
    world: &mut World,
    seed: u32,
) -> Result<(Vec<GrantRef>, TcpStream, TcpStream), Stop> {
    if lets_go_early(world) {
        return Err(Stop::Skip(LETS_GO_EARLY.into()));
    }
    let held = world.mapped(SENT, seed)?;
    let (writer, reader) = sent(&held.mapping)?;
    held.mapping.unmap()?;
    held.device.remove(held.index, SENT as u32)?;
    drop(held.device);
    assert_eq!(in_use(&held.share.grants)?, SENT);
    Ok((held.share.grants, writer, reader))
}

/// The first `count` bytes of the pattern that `seed` names.
pub(super) fn bytes_of(seed: u32, count: usize) -> Vec<u8> {
    (0..count).map(|at| pattern(seed, at)).collect()
}
