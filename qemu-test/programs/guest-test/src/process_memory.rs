// SPDX-License-Identifier: GPL-2.0

//! Accesses to the memory of a process by another: process_vm_readv(2). Here both are this one,
//! which the kernel treats in the same way.

use std::io;
use std::process;

use xen_grants::bytes::Bytes;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;

use crate::call::count;

fn range(address: usize, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: length,
    }
}

/// Returns true if the kernel has these system calls, which are an option.
///
/// # Errors
///
/// Another one than `ENOSYS`.
pub fn is_there() -> io::Result<bool> {
    let memory = Mapping::anonymous(1, Protection::Read)?;
    match read(&memory) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(false),
        result => result.map(|_| true),
    }
}

/// Reads `memory` as another process would. Fewer bytes are returned if a later page cannot be
/// read.
///
/// # Errors
///
/// `EFAULT` if the first page cannot be read.
pub fn read(memory: &Bytes) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; memory.len()];
    let here = range(bytes.as_mut_ptr() as usize, bytes.len());
    let there = range(memory.address(), memory.len());
    let pid = process::id() as libc::pid_t;
    // SAFETY: The kernel writes to `bytes`, and at most as many as it holds.
    let read = unsafe { libc::process_vm_readv(pid, &raw const here, 1, &raw const there, 1, 0) };
    bytes.truncate(count(read)?);
    Ok(bytes)
}

/// Writes `bytes` from offset `at` of `memory` on as another process would.
///
/// # Errors
///
/// `EFAULT` if the first page cannot be written.
pub fn write(memory: &Bytes, at: usize, bytes: &[u8]) -> io::Result<()> {
    assert!(at + bytes.len() <= memory.len());
    let here = range(bytes.as_ptr() as usize, bytes.len());
    let there = range(memory.address() + at, bytes.len());
    let pid = process::id() as libc::pid_t;
    // SAFETY: The kernel writes to `memory`, no byte of which belongs to a Rust object.
    count(unsafe { libc::process_vm_writev(pid, &raw const here, 1, &raw const there, 1, 0) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_and_read() {
        let memory = Mapping::anonymous(1, Protection::ReadWrite).unwrap();
        write(&memory, 7, &[9, 8]).unwrap();
        assert_eq!(memory.read(7), 9);
        assert_eq!(read(&memory).unwrap()[6..10], [0, 9, 8, 0]);
    }

    #[test]
    fn memory_without_access_is_not_read() {
        let memory = Mapping::anonymous(1, Protection::None).unwrap();
        let error = read(&memory).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
