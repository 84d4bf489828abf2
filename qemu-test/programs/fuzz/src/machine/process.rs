// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on other processes.

use std::fs::File;
use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use guest_test::process::in_child;
use guest_test::process::Child;
use guest_test::process::End;
use xen_grants::mapping::Mapping;

use super::access;
use super::slots::Slots;
use crate::argument::By;
use crate::model::Model;
use crate::operation::Operation;
use crate::outcome::Outcome;

/// Limit of the wait for the end of a process that was killed.
const LIMIT: Duration = Duration::from_secs(250);

/// Time between two accesses of a copy of the process.
const PAUSE: Duration = Duration::from_millis(2);

/// Has the kernel read those mappings that a copy of the process has, while the process itself uses
/// the same regions and dma-bufs.
fn read_for_ever(mappings: &[Option<Mapping>], memory: &File) {
    loop {
        for mapping in mappings.iter().flatten() {
            // The rights depend on the mapping.
            let _ = access::read(mapping, By::Kernel, memory);
            thread::sleep(PAUSE);
        }
        thread::sleep(PAUSE);
    }
}

/// Executes `operation`. Returns `None` if the slots do not hold what it takes.
///
/// # Errors
///
/// Those of starting a process, which are no results of the device.
pub fn execute(
    slots: &mut Slots,
    operation: &Operation,
    model: &Model,
) -> io::Result<Option<Outcome>> {
    Ok(Some(match *operation {
        Operation::StartChild if slots.child.is_none() => {
            let child = Child::spawn(|| read_for_ever(&slots.mappings, &slots.memory))?;
            slots.child = Some(child);
            Outcome::Done
        }
        Operation::KillChild => {
            let Some(mut child) = slots.child.take() else {
                return Ok(None);
            };
            child.kill()?;
            let end = child.wait(LIMIT)?;
            Outcome::Ended(end.ok_or_else(|| io::Error::other("a killed process does not end"))?)
        }
        Operation::RunProgram => {
            let status = Command::new("true").status()?;
            Outcome::Ended(End::Exited(status.code().unwrap_or(-1)))
        }
        Operation::Fork { mapping } => {
            let expected = model.contents(mapping);
            let (Some(expected), Some(mapping)) = (expected, &slots.mappings[mapping]) else {
                return Ok(None);
            };
            Outcome::Ended(in_child(|| {
                let found = mapping.read_vec(0, mapping.len());
                assert!(found == expected, "other bytes");
            })?)
        }
        _ => return Ok(None),
    }))
}
