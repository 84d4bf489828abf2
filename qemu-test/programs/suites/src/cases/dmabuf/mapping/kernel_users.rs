// SPDX-License-Identifier: GPL-2.0

//! Parts of the kernel that hold pages of a mapping for longer than a system call: io_uring, which
//! pins its registered buffers, and TCP, which sends pages without a copy.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use guest_test::errno::ETIMEDOUT;
use guest_test::ktap::Verdict;
use guest_test::registered_buffer::RegisteredBuffer;
use xen_grants::PAGE_SIZE;

use crate::cases::dmabuf::buffers::assert_ends;
use crate::cases::dmabuf::buffers::exported;
use crate::cases::dmabuf::buffers::NO_EXPORT;
use crate::cases::kernel_users::bytes_of;
use crate::cases::kernel_users::sent;
use crate::suite::rules;
use crate::world::assert_error;
use crate::world::in_use;
use crate::world::World;

rules![
    #[rule("a registered buffer of io_uring puts off the end of its dma-buf")]
    #[expect_c_differs(NO_EXPORT)]
    fn registered(world: &mut World) -> Verdict {
        const BYTES: usize = 2 * PAGE_SIZE;
        let held = exported(world, 2, 453)?;
        let number = held.buffer.number();
        let mapping = held.buffer.map(2)?;
        let mut buffer = RegisteredBuffer::new(&mapping)?;
        drop((mapping, held.buffer));
        let result = in_thread(|| held.device.wait_released(number, 100));
        assert_error(result, ETIMEDOUT, "the pages are pinned");
        assert_eq!(in_use(&held.share.grants)?, 2);

        let (mut reader, writer) = UnixStream::pair()?;
        let mut data = vec![0; BYTES];
        assert_eq!(buffer.write_to(writer.as_fd())?, BYTES);
        reader.read_exact(&mut data)?;
        assert!(data == bytes_of(453, BYTES), "other bytes came out");
        buffer.unregister()?;
        in_thread(|| assert_ends(&held.device, number));
        assert_eq!(in_use(&held.share.grants)?, 0);
        Ok(())
    },

    #[rule("pages in a TCP socket put off the end of their dma-buf until the peer has read them")]
    #[expect_c_differs(NO_EXPORT)]
    fn in_tcp_socket(world: &mut World) -> Verdict {
        const PAGES: usize = 4;
        let held = exported(world, PAGES, 454)?;
        let number = held.buffer.number();
        let mapping = held.buffer.map(PAGES)?;
        let (_writer, mut reader) = sent(&mapping)?;
        drop((mapping, held.buffer));
        let result = held.device.wait_released(number, 100);
        assert_error(result, ETIMEDOUT, "the pages are in the socket");
        assert_eq!(in_use(&held.share.grants)?, PAGES);

        let mut data = vec![0; PAGES * PAGE_SIZE];
        reader.read_exact(&mut data)?;
        assert!(
            data == bytes_of(454, PAGES * PAGE_SIZE),
            "other bytes came out"
        );
        assert_ends(&held.device, number);
        assert_eq!(in_use(&held.share.grants)?, 0);
        Ok(())
    }
];

/// Calls `wait` in another thread. A thread that uses io_uring has work of its own to do for it,
/// which interrupts a wait in the kernel as a signal does.
fn in_thread<T: Send>(wait: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(wait).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
