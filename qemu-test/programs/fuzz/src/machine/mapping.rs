// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on mappings.

use std::io;

use guest_test::mapping::MappingCalls;

use super::access;
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
        Operation::Load {
            by: By::Process, ..
        }
        | Operation::Store {
            by: By::Process, ..
        } if !slots.setting.has_process_memory => return None,
        Operation::Load { mapping, by } => {
            let by_program = model.is_accessible(mapping, Rights::Read);
            let mapping = slots.mappings[mapping].as_ref()?;
            match by {
                By::Program if by_program => Outcome::Bytes(mapping.read_vec(0, mapping.len())),
                _ => Outcome::bytes(access::read(mapping, by, &slots.memory)),
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
                _ => Outcome::done(access::write(mapping, at, value, by, &slots.memory)),
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
        _ => return None,
    })
}
