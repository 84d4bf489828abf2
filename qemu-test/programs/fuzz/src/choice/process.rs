// SPDX-License-Identifier: GPL-2.0

//! Choice of operations on other processes.

use super::chooser::Chooser;
use crate::operation::Operation;

/// Chooses [`Operation::StartChild`].
pub fn start_child(_: &mut Chooser) -> Operation {
    Operation::StartChild
}

/// Chooses [`Operation::KillChild`].
pub fn kill_child(_: &mut Chooser) -> Operation {
    Operation::KillChild
}

/// Chooses [`Operation::RunProgram`].
pub fn run_program(_: &mut Chooser) -> Operation {
    Operation::RunProgram
}

/// Chooses [`Operation::Fork`].
pub fn fork(chooser: &mut Chooser) -> Operation {
    Operation::Fork {
        mapping: chooser.mapping(),
    }
}
