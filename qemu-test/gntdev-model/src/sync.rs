// SPDX-License-Identifier: GPL-2.0

//! The part of the kernel crate's `sync` that the files of gntdev use.

pub(crate) use std::sync::Arc;

/// Mutex of the kernel; a panic in a test ends the test.
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().expect("a test that panicked has ended")
    }
}

/// Initializer of a mutex with a name.
macro_rules! new_mutex {
    ($value:expr, $name:literal) => {
        $crate::sync::Mutex::new($value)
    };
}
pub(crate) use new_mutex;
