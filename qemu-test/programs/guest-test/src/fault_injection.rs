// SPDX-License-Identifier: GPL-2.0

//! Failures that the kernel injects into system calls of a thread: fail-nth.
//!
//! The kernel counts the points of a system call that can fail, and has the one with a given number
//! fail. Such points are allocations of memory, accesses to the memory of the program, and the
//! calls of the hypervisor that the driver makes. The kernel needs `CONFIG_FAULT_INJECTION`.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The number of the point that is to fail, and of those that are left.
const NTH: &str = "/proc/thread-self/fail-nth";

/// Folder of the kernel's capabilities.
const DEBUGFS: &str = "/sys/kernel/debug";

/// Files of a capability and their values.
type Settings = &'static [(&'static str, &'static str)];

/// The capabilities, and the settings with which they fail at each of their points. None of them
/// reports a failure in the kernel's log: the caller does.
const CAPABILITIES: [(&str, Settings); 3] = [
    ("failslab", &[("verbose", "0"), ("ignore-gfp-wait", "N")]),
    (
        "fail_page_alloc",
        &[
            ("verbose", "0"),
            ("ignore-gfp-wait", "N"),
            ("ignore-gfp-highmem", "N"),
            ("min-order", "0"),
        ],
    ),
    ("fail_usercopy", &[("verbose", "0")]),
];

/// Injects failures into system calls of the thread that made it.
#[derive(Debug)]
pub struct FaultInjection {
    nth: File,
}

impl FaultInjection {
    /// Has the calling thread fail at points that `module`, the name of a loaded kernel module, has
    /// reached: a function of the module is on the stack. Other points are not counted.
    ///
    /// The setting holds for all threads. The calls of the hypervisor that this project's code
    /// makes are counted in any case.
    pub fn of_module(module: &str) -> io::Result<Self> {
        let (start, end) = text_of(&fs::read_to_string("/proc/modules")?, module)?;
        Self::with_filter(start, end)
    }

    /// Counts points of the capabilities only with an address of the range on the stack.
    fn with_filter(start: u64, end: u64) -> io::Result<Self> {
        let filter = [
            ("require-start", format!("{start:#x}")),
            ("require-end", format!("{end:#x}")),
        ];
        for (capability, settings) in CAPABILITIES {
            let folder = Path::new(DEBUGFS).join(capability);
            for (file, value) in settings {
                write(&folder.join(file), value)?;
            }
            for (file, value) in &filter {
                write(&folder.join(file), value)?;
            }
        }
        let nth = File::options().read(true).write(true).open(NTH)?;
        Ok(Self { nth })
    }

    /// Calls `body` and has the point with number `nth`, from 1 on, fail. Returns the answer, and
    /// true if that point was reached.
    pub fn fail<T>(&self, nth: u32, body: impl FnOnce() -> T) -> io::Result<(T, bool)> {
        assert!(nth > 0);
        self.set(nth)?;
        let answer = body();
        let left = self.left()?;
        self.set(0)?;
        Ok((answer, left == 0))
    }

    fn set(&self, nth: u32) -> io::Result<()> {
        (&self.nth).write_all(nth.to_string().as_bytes())
    }

    fn left(&self) -> io::Result<u32> {
        let mut buffer = [0; 16];
        let length = self.nth.read_at(&mut buffer, 0)?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        let number = text.trim().parse();
        number.map_err(|_| io::Error::other(format!("{NTH}: {text:?}")))
    }
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    fs::write(file, value).map_err(|error| {
        let message = format!("{}: {error}", file.display());
        io::Error::new(error.kind(), message)
    })
}

/// Returns the first address of `module` in `/proc/modules`, and the address after its size. The
/// module's code begins there; its data may be elsewhere, so that the range can be too large.
fn text_of(modules: &str, module: &str) -> io::Result<(u64, u64)> {
    let absent = || io::Error::other(format!("/proc/modules does not tell where {module} is"));
    let line = modules
        .lines()
        .find(|line| line.split(' ').next() == Some(module))
        .ok_or_else(absent)?;
    let mut words = line.split(' ');
    let size: Option<u64> = words.nth(1).and_then(|word| word.parse().ok());
    let start = words
        .find_map(|word| word.strip_prefix("0x"))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match (start, size) {
        (Some(start), Some(size)) if start != 0 => Ok((start, start + size)),
        _ => Err(absent()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = "\
xen_gntdev_rust_kunit 90112 0 - Live 0xffffffffc0300000 (O)
xen_gntdev_rust 122880 2 - Live 0xffffffffc0200000 (O)
xen_gntalloc 16384 0 - Live 0x0000000000000000
";

    #[test]
    fn a_module_has_a_range_of_addresses() {
        let expected = (0xffff_ffff_c020_0000, 0xffff_ffff_c021_e000);
        assert_eq!(text_of(MODULES, "xen_gntdev_rust").unwrap(), expected);
    }

    #[test]
    fn hidden_and_absent_modules_are_errors() {
        assert!(text_of(MODULES, "xen_gntalloc").is_err());
        assert!(text_of(MODULES, "xen_gntdev").is_err());
    }
}
