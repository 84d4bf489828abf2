// SPDX-License-Identifier: GPL-2.0

//! Accesses of the kernel to mappings.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use guest_test::errno::EFAULT;
use guest_test::mapping::MappingCalls;
use guest_test::process_memory;
use guest_test::registered_buffer::RegisteredBuffer;
use xen_grants::mapping::Mapping;

use crate::argument::By;

/// Reads all bytes of `mapping`. `memory` is `/proc/self/mem`.
///
/// # Errors
///
/// That of the access; `EFAULT` also if only a part of the bytes was read.
pub fn read(mapping: &Mapping, by: By, memory: &File) -> io::Result<Vec<u8>> {
    if by == By::Reference {
        let mut bytes = vec![0; mapping.len()];
        memory.read_exact_at(&mut bytes, mapping.address() as u64)?;
        return Ok(bytes);
    }
    if by == By::Process {
        return whole(process_memory::read(mapping)?, mapping);
    }
    let (mut reader, writer) = UnixStream::pair()?;
    let count = if by == By::Direct {
        let mut buffer = RegisteredBuffer::new(mapping)?;
        let count = buffer.write_to(writer.as_fd())?;
        buffer.unregister()?;
        count
    } else {
        mapping.write_to(writer.as_fd())?
    };
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes)?;
    whole(bytes, mapping)
}

fn whole(bytes: Vec<u8>, mapping: &Mapping) -> io::Result<Vec<u8>> {
    if bytes.len() == mapping.len() {
        Ok(bytes)
    } else {
        Err(io::Error::from_raw_os_error(EFAULT))
    }
}

/// Writes `value` to byte `at` of `mapping`, or to its first byte if the kernel copies from a
/// socket.
///
/// # Errors
///
/// That of the access.
pub fn write(mapping: &Mapping, at: usize, value: u8, by: By, memory: &File) -> io::Result<()> {
    match by {
        By::Reference => {
            let address = (mapping.address() + at) as u64;
            return memory.write_all_at(&[value], address);
        }
        By::Process => return process_memory::write(mapping, at, &[value]),
        By::Program | By::Kernel | By::Direct => {}
    }
    let (reader, mut writer) = UnixStream::pair()?;
    writer.write_all(&[value])?;
    let count = if by == By::Direct {
        let mut buffer = RegisteredBuffer::new(mapping)?;
        let count = buffer.read_from(reader.as_fd())?;
        buffer.unregister()?;
        count
    } else {
        mapping.read_from(reader.as_fd())?
    };
    match count {
        1 => Ok(()),
        count => Err(io::Error::other(format!("{count} bytes were read"))),
    }
}
