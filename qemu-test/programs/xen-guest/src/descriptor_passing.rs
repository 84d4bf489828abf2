// SPDX-License-Identifier: GPL-2.0

//! Handing open files to another process.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::ptr;

/// Space for one descriptor and its header, aligned as headers want to be.
type Control = [u64; 4];

const LENGTH_OF_ONE: u32 = size_of::<c_int>() as u32;

/// A message of one byte, at `range`, with `control` beside it.
fn message(range: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: A message of zeroes is one without any part.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = ptr::from_mut(range);
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: Only computes.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(LENGTH_OF_ONE) } as usize;
    assert!(message.msg_controllen <= size_of::<Control>());
    message
}

fn one_byte(byte: &mut u8) -> libc::iovec {
    libc::iovec {
        iov_base: ptr::from_mut(byte).cast(),
        iov_len: 1,
    }
}

/// Sends `descriptor` and a byte to whoever has the other end of `socket`.
pub fn send(socket: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = 0;
    let mut range = one_byte(&mut byte);
    let mut control = Control::default();
    let message = message(&mut range, &mut control);
    // SAFETY: The control space is large enough for one header with one
    // descriptor behind it, as was found when the message was made.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(LENGTH_OF_ONE) as usize;
        let place: *mut c_int = libc::CMSG_DATA(header).cast();
        place.write_unaligned(descriptor.as_raw_fd());
    }
    // SAFETY: Everything that the message names is in this function.
    match unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) } {
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for what [`send`] sends.
pub fn receive(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = 0;
    let mut range = one_byte(&mut byte);
    let mut control = Control::default();
    let mut message = message(&mut range, &mut control);
    let flags = libc::MSG_CMSG_CLOEXEC;
    // SAFETY: Everything that the message names is in this function.
    match unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) } {
        1 => {}
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => return Err(io::Error::last_os_error()),
    }
    // SAFETY: The kernel says how much of the control space it has filled, and
    // a header is only returned if it is in that part.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    match header {
        Some(header)
            if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS =>
        {
            // SAFETY: A header of this kind is followed by a descriptor that
            // the kernel has just opened for this process.
            unsafe {
                let place: *const c_int = libc::CMSG_DATA(header).cast();
                Ok(OwnedFd::from_raw_fd(place.read_unaligned()))
            }
        }
        _ => Err(io::Error::other("the message brought no descriptor")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_other_end_gets_the_same_file() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = UnixStream::pair().unwrap();

        send(&ours, writer.as_fd()).unwrap();
        drop(writer);
        let mut received = UnixStream::from(receive(&theirs).unwrap());
        received.write_all(b"through it").unwrap();
        drop(received);

        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through it");
    }

    #[test]
    fn a_closed_socket_brings_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(receive(&theirs).is_err());
    }
}
