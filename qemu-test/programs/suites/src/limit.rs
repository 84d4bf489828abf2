// SPDX-License-Identifier: GPL-2.0

//! The module parameter `limit`: the most grants that one region may have.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::world::World;

/// The parameter, which gets its value back when dropped.
pub struct Limit {
    file: PathBuf,
    before: String,
}

impl Limit {
    /// The parameter of the driver that is tested.
    pub fn of(world: &World) -> io::Result<Self> {
        let file = world.driver.limit_file();
        let before = fs::read_to_string(&file)?;
        Ok(Self { file, before })
    }

    /// The file that shows and sets it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Text of the value that it gets back.
    pub fn before(&self) -> &str {
        &self.before
    }

    /// Writes `value` to the parameter.
    pub fn set(&self, value: &str) -> io::Result<()> {
        fs::write(&self.file, value)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = self.set(&self.before);
    }
}
