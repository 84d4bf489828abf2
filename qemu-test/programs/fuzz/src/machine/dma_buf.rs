// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on dma-bufs.

use std::io;
use std::os::fd::AsFd;

use guest_test::grant_dma_buf::Import;
use guest_test::mapping;
use suites::granter::BEYOND_TABLE;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::slots::protection;
use super::slots::Slots;
use crate::model::Model;
use crate::operation::Operation;
use crate::outcome::Outcome;

/// Number of no descriptor.
const CLOSED_DESCRIPTOR: u32 = 900;

/// Limit of a wait for the release of a buffer that nobody holds, in milliseconds. A busy host may
/// take long for it.
const LONG_WAIT: u32 = 250_000;

/// Makes a dma-buf of the program's own memory.
///
/// # Errors
///
/// Those of making it, which are no results of the device.
pub fn make_memory(slots: &mut Slots, memory: usize, pages: usize) -> io::Result<Outcome> {
    slots.memories[memory] = None;
    let buffer = MemoryFile::new(pages)?.dma_buf()?;
    let number = buffer.number();
    slots.memories[memory] = Some(buffer);
    Ok(Outcome::Number(number.into()))
}

/// Executes `operation`. Returns `None` if the slots do not hold what it takes.
pub fn execute(slots: &mut Slots, operation: &Operation, model: &mut Model) -> Option<Outcome> {
    Some(match *operation {
        Operation::Export {
            file,
            buffer,
            share,
            flags,
            offset,
            bad,
        } => {
            let device = slots.files[file].as_ref()?;
            let grants = model.state.grants.of_share(share)?;
            let mut references: Vec<u32> = grants.iter().map(|one| one.reference).collect();
            if bad {
                *references.last_mut()? = BEYOND_TABLE;
            }
            let domid = grants[0].domid;
            slots.buffers[buffer] = None;
            let exported = match offset {
                Some(offset) => device.export_at(offset, flags, domid, &references),
                None if slots.narrow => device.export_32(flags, domid, &references),
                None => device.export(flags, domid, &references),
            };
            Outcome::number(exported.map(|exported| {
                let number = exported.number();
                slots.buffers[buffer] = Some(exported);
                number.into()
            }))
        }
        Operation::CloseBuffer { buffer } => {
            slots.buffers[buffer].take()?;
            Outcome::Done
        }
        Operation::MapBuffer {
            buffer,
            mapping,
            first,
            pages,
            rights,
            private,
        } => {
            let buffer = slots.buffers[buffer].as_ref()?;
            slots.mappings[mapping].is_none().then_some(())?;
            let protection = protection(rights);
            let mapped = if private {
                let offset = (first * PAGE_SIZE) as u64;
                mapping::private(buffer.as_fd(), offset, pages, protection)
            } else {
                buffer
                    .map_part(first, pages, protection)
                    .map_err(io::Error::from)
            };
            Outcome::done(mapped.map(|mapped| slots.mappings[mapping] = Some(mapped)))
        }
        Operation::Wait { file, buffer, long } => {
            let device = slots.files[file].as_ref()?;
            let number = model.state.buffer_names[buffer]?.number;
            let file = model.state.descriptors[file]?;
            let is_long = long && model.ends_soon(file, number);
            let limit = if is_long { LONG_WAIT } else { 0 };
            Outcome::done(device.wait_released(number, limit))
        }
        Operation::CloseMemory { memory } => {
            slots.memories[memory].take()?;
            Outcome::Done
        }
        Operation::Import {
            file,
            memory,
            more,
            wide_domain,
            second_form,
        } => {
            let device = slots.files[file].as_ref()?;
            let domid = slots.setting.domu.unwrap_or(DOM0);
            let name = model.state.memories[memory].filter(|name| name.open);
            let pages = name.map_or(1, |name| name.pages) as u32;
            let import = Import {
                number: name.map_or(CLOSED_DESCRIPTOR, |name| name.number),
                count: pages.wrapping_add_signed(more),
                domid: domid | (u32::from(wide_domain) << 16),
                reserved: 0,
            };
            let imported = if second_form {
                device.import_at(&import).map(|(_, references)| references)
            } else {
                device.import_claiming(&import)
            };
            match imported {
                Ok(references) => Outcome::References(references),
                Err(error) => Outcome::failure(&error),
            }
        }
        Operation::EndImport { file, memory } => {
            let device = slots.files[file].as_ref()?;
            let number = model.state.memories[memory]?.number;
            Outcome::done(device.release_import(number))
        }
        _ => return None,
    })
}
