// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on mappings.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use guest_test::errno::EFAULT;
use guest_test::mapping::MappingCalls;
use guest_test::process::in_child;
use xen_grants::mapping::Mapping;

use super::slots::protection;
use super::slots::Slots;
use crate::argument::By;
use crate::argument::Rights;
use crate::model::Model;
use crate::operation::Operation;
use crate::outcome::Outcome;

/// Executes `operation`. Returns `None` if the slots do not hold what it takes.
pub fn execute(slots: &mut Slots, operation: &Operation, model: &Model) -> Option<Outcome> {
    Some(match *operation {
        Operation::Split { mapping, rest, at } => {
            let pages = slots.mappings[mapping].as_ref()?.pages();
            let at = at % pages;
            (at != 0 && slots.mappings[rest].is_none()).then_some(())?;
            let second = slots.mappings[mapping].as_mut()?.split_off(at);
            slots.mappings[rest] = Some(second);
            Outcome::Done
        }
        Operation::Unmap { mapping } => {
            let mapping = slots.mappings[mapping].take()?;
            Outcome::done(mapping.unmap().map_err(io::Error::from))
        }
        Operation::Protect { mapping, rights } => Outcome::done(
            slots.mappings[mapping]
                .as_ref()?
                .protect(protection(rights)),
        ),
        Operation::Discard { mapping } => {
            Outcome::done(slots.mappings[mapping].as_ref()?.discard())
        }
        Operation::Relocate { mapping } => {
            let moved = slots.mappings[mapping].take()?.relocate();
            Outcome::done(moved.map(|moved| slots.mappings[mapping] = Some(moved)))
        }
        Operation::Grow { mapping } => Outcome::done(slots.mappings[mapping].as_mut()?.grow()),
        Operation::Load { mapping, by } => {
            let by_program = model.is_accessible(mapping, Rights::Read);
            let mapping = slots.mappings[mapping].as_ref()?;
            match by {
                By::Program if by_program => Outcome::Bytes(mapping.read_vec(0, mapping.len())),
                By::Reference => Outcome::bytes(read_by_reference(&slots.memory, mapping)),
                By::Program | By::Kernel => Outcome::bytes(read_by_kernel(mapping)),
            }
        }
        Operation::Store {
            mapping,
            at,
            value,
            by,
        } => {
            let by_program = model.is_accessible(mapping, Rights::ReadWrite);
            let mapping = slots.mappings[mapping].as_ref()?;
            let at = at % mapping.len();
            match by {
                By::Program if by_program => {
                    mapping.write(at, value);
                    Outcome::Done
                }
                By::Reference => {
                    let address = (mapping.address() + at) as u64;
                    Outcome::done(slots.memory.write_all_at(&[value], address))
                }
                By::Program | By::Kernel => Outcome::done(write_by_kernel(mapping, value)),
            }
        }
        Operation::Splice { mapping } => {
            let mapping = slots.mappings[mapping].as_ref()?;
            (slots.in_pipe == 0).then_some(())?;
            Outcome::number(slots.pipe.take_pages(mapping).map(|count| {
                slots.in_pipe = count;
                count as u64
            }))
        }
        Operation::Drain => {
            (slots.in_pipe != 0).then_some(())?;
            let count = std::mem::take(&mut slots.in_pipe);
            Outcome::bytes(slots.pipe.read(count))
        }
        Operation::Fork { mapping } => {
            let expected = model.contents(mapping)?;
            let mapping = slots.mappings[mapping].as_ref()?;
            let ended = in_child(|| {
                assert!(
                    mapping.read_vec(0, mapping.len()) == expected,
                    "other bytes"
                );
            });
            match ended {
                Ok(end) => Outcome::Ended(end),
                Err(error) => Outcome::failure(&error),
            }
        }
        _ => return None,
    })
}

fn read_by_reference(memory: &File, mapping: &Mapping) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; mapping.len()];
    memory.read_exact_at(&mut bytes, mapping.address() as u64)?;
    Ok(bytes)
}

/// Has the kernel copy from `mapping`: to a socket, from which the bytes are read.
fn read_by_kernel(mapping: &Mapping) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = UnixStream::pair()?;
    let count = mapping.write_to(writer.as_fd())?;
    if count != mapping.len() {
        return Err(io::Error::from_raw_os_error(EFAULT));
    }
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Has the kernel copy `value` to the first byte of `mapping`, from a socket.
fn write_by_kernel(mapping: &Mapping, value: u8) -> io::Result<()> {
    let (reader, mut writer) = UnixStream::pair()?;
    writer.write_all(&[value])?;
    match mapping.read_from(reader.as_fd())? {
        1 => Ok(()),
        count => Err(io::Error::other(format!("{count} bytes were read"))),
    }
}
