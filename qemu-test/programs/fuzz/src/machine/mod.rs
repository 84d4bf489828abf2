// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on the device.

mod access;
mod argument;
mod descriptor;
mod device;
mod dma_buf;
mod mapping;
mod owners;
mod process;
mod slots;

use std::io;

use crate::model::Model;
use crate::operation::Operation;
use crate::outcome::Outcome;
use crate::setting::Setting;

use owners::Owners;
use slots::Slots;

/// Process that executes operations, and the domains that grant pages to it.
pub struct Machine {
    owners: Owners,
    slots: Slots,
}

impl Machine {
    /// A machine whose slots are empty.
    ///
    /// # Errors
    ///
    /// Those of the granters, and of opening files.
    pub fn new(setting: Setting) -> io::Result<Self> {
        Ok(Self {
            owners: Owners::new(setting)?,
            slots: Slots::new(setting)?,
        })
    }

    /// Executes `operation`. `model` knows the names of regions and buffers, which are not in the
    /// slots.
    ///
    /// # Errors
    ///
    /// Those of the granters: a domU that does not answer is no result of the device.
    pub fn execute(&mut self, operation: &Operation, model: &mut Model) -> io::Result<Outcome> {
        if let Operation::Narrow(operation) = operation {
            self.slots.narrow = true;
            let outcome = self.execute(operation, model);
            self.slots.narrow = false;
            return outcome;
        }
        let slots = &mut self.slots;
        let outcome = match operation {
            Operation::Share { .. }
            | Operation::Unshare { .. }
            | Operation::OwnerRead { .. }
            | Operation::OwnerWrite { .. }
            | Operation::EndDomu => self.owners.execute(operation)?,
            Operation::MakeMemory { memory, pages } => {
                Some(dma_buf::make_memory(slots, *memory, *pages)?)
            }
            Operation::ReadOnlyArgument { file, request } => {
                argument::send_read_only(slots, *file, *request, model)?
            }
            Operation::Split { .. }
            | Operation::Unmap { .. }
            | Operation::Protect { .. }
            | Operation::Discard { .. }
            | Operation::Relocate { .. }
            | Operation::Grow { .. }
            | Operation::Load { .. }
            | Operation::Store { .. }
            | Operation::Splice { .. }
            | Operation::Drain => mapping::execute(slots, operation, model),
            Operation::Export { .. }
            | Operation::CloseBuffer { .. }
            | Operation::MapBuffer { .. }
            | Operation::Wait { .. }
            | Operation::CloseMemory { .. }
            | Operation::Import { .. }
            | Operation::EndImport { .. } => dma_buf::execute(slots, operation, model),
            Operation::StartChild
            | Operation::KillChild
            | Operation::RunProgram
            | Operation::Fork { .. } => process::execute(slots, operation, model)?,
            Operation::Send { sent } => descriptor::send(slots, *sent)?,
            Operation::Receive { file, buffer } => descriptor::receive(slots, *file, *buffer)?,
            _ => device::execute(slots, operation, model),
        };
        Ok(outcome.unwrap_or(Outcome::Nothing))
    }

    /// Returns the bytes of the scratch memory.
    pub fn scratch(&self) -> Vec<u8> {
        self.slots.scratch.read_vec(0, self.slots.scratch.len())
    }
}
