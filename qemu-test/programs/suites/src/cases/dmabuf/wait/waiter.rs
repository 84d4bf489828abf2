// SPDX-License-Identifier: GPL-2.0

//! Threads that wait for the end of an export.

use std::io;
use std::sync::mpsc;
use std::thread::Scope;
use std::thread::ScopedJoinHandle;

use guest_test::gntdev::Gntdev;

use crate::cases::dmabuf::buffers::LONG;
use crate::task::Task;

/// A thread that waits for an export to end.
pub(super) struct Waiter<'scope> {
    pub(super) task: Task,
    thread: ScopedJoinHandle<'scope, io::Result<()>>,
}

impl<'scope> Waiter<'scope> {
    /// Starts the thread, and returns once it waits for export `number` of `device`.
    pub(super) fn spawn(
        scope: &'scope Scope<'scope, '_>,
        device: &'scope Gntdev,
        number: u32,
    ) -> io::Result<Self> {
        let (sender, tasks) = mpsc::channel();
        let thread = scope.spawn(move || {
            let task = Task::current()?;
            sender.send(task).expect("the receiver waits");
            device.wait_released(number, LONG)
        });
        let task = tasks.recv().map_err(io::Error::other)?;
        assert_waits(&task, device);
        Ok(Self { task, thread })
    }

    /// Waits for the end of the thread, and returns the result of its wait.
    pub(super) fn join(self) -> io::Result<()> {
        self.thread.join().expect("a waiter")
    }
}

/// Returns when `task` sleeps in a request on `device`; fails the case if it has ended.
pub(super) fn assert_waits(task: &Task, device: &Gntdev) {
    task.wait_until_asleep_on(device.file())
        .expect("a thread that waits");
}
