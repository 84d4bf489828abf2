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
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The number of the point that is to fail, and of those that are left.
const NTH: &str = "/proc/thread-self/fail-nth";

/// Addresses at which x86-64 kernels have modules. The kernel itself is below.
const MODULES: Range<u64> = 0xffff_ffff_a000_0000..0xffff_ffff_ff00_0000;

/// Distance of two functions that do not belong to one group.
const FARTHEST: u64 = 0x10000;

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

    /// As [`Self::of_module`], for any module, also one that is not loaded yet.
    pub fn of_any_module() -> io::Result<Self> {
        Self::with_filter(MODULES.start, MODULES.end)
    }

    /// As [`Self::of_module`], for the code in the kernel itself that has functions with `part` in
    /// their names.
    pub fn of_kernel_code(part: &str) -> io::Result<Self> {
        let (start, end) = range_of(&fs::read_to_string("/proc/kallsyms")?, part)?;
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

/// Returns the range of addresses of `module` in `/proc/modules`: from its first one, where its
/// code begins, up to another module or to its size. The size counts its data, too, which is
/// elsewhere.
fn text_of(modules: &str, module: &str) -> io::Result<(u64, u64)> {
    let absent = || io::Error::other(format!("/proc/modules does not tell where {module} is"));
    let all: Vec<_> = modules.lines().filter_map(place_of).collect();
    let (_, start, size) = all
        .iter()
        .find(|(name, start, _)| *name == module && *start != 0)
        .ok_or_else(absent)?;
    let others = all.iter().map(|(_, other, _)| *other);
    let next = others.filter(|other| other > start).min();
    let end = start + size;
    Ok((*start, next.map_or(end, |next| next.min(end))))
}

/// Returns the name, the first address and the size in a line of `/proc/modules`.
fn place_of(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split(' ');
    let (name, size) = (words.next()?, words.next()?.parse().ok()?);
    let digits = words.find_map(|word| word.strip_prefix("0x"))?;
    Some((name, u64::from_str_radix(digits, 16).ok()?, size))
}

/// Returns the range of the code of which the functions in `/proc/kallsyms` have `part` in their
/// names: the address of the first one, and that of the function after the last one.
///
/// The compiler puts a few functions elsewhere, those that it expects to be called rarely or at
/// boot only. Code of others is between, so that only the largest group counts.
fn range_of(symbols: &str, part: &str) -> io::Result<(u64, u64)> {
    let absent = || io::Error::other(format!("/proc/kallsyms does not tell where {part} is"));
    let mut functions: Vec<(u64, &str)> = symbols
        .lines()
        .filter_map(|line| {
            let (address, rest) = line.split_once(' ')?;
            let name = rest.strip_prefix(['t', 'T'])?.trim_start();
            Some((u64::from_str_radix(address, 16).ok()?, name))
        })
        .collect();
    functions.sort_unstable();
    let ours: Vec<u64> = functions
        .iter()
        .filter(|(_, name)| name.contains(part))
        .map(|(address, _)| *address)
        .collect();
    let group = ours
        .chunk_by(|one, next| next - one < FARTHEST)
        .max_by_key(|group| group.len())
        .ok_or_else(absent)?;
    let (first, last) = (group[0], group[group.len() - 1]);
    let after = functions.iter().map(|(address, _)| *address);
    let end = after.filter(|address| *address > last).min();
    end.filter(|_| first != 0)
        .map(|end| (first, end))
        .ok_or_else(absent)
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
        let near = MODULES.replace("c0300000", "c0210000");
        let expected = (0xffff_ffff_c020_0000, 0xffff_ffff_c021_0000);
        assert_eq!(text_of(&near, "xen_gntdev_rust").unwrap(), expected);
    }

    #[test]
    fn code_in_the_kernel_ends_where_other_code_begins() {
        let symbols = "\
ffffffff81000000 T _text
ffffffff81a00040 t _RNvNtCs1_11fifo_events9port_ops5start
ffffffff81200010 t _RNvNtCs1_11fifo_events8port_ops6report
ffffffff81a00010 t _RNvNtCs1_11fifo_events4view5write
ffffffff82000000 d _RNvNtCs1_11fifo_events4view4FILE
ffffffff81a00100 T after
";
        let range = range_of(symbols, "11fifo_events").unwrap();
        assert_eq!(range, (0xffff_ffff_81a0_0010, 0xffff_ffff_81a0_0100));
        assert!(range_of(symbols, "12other_events").is_err());
        assert!(range_of("0000000000000000 t hidden\n", "hidden").is_err());
    }

    #[test]
    fn hidden_and_absent_modules_are_errors() {
        assert!(text_of(MODULES, "xen_gntalloc").is_err());
        assert!(text_of(MODULES, "xen_gntdev").is_err());
    }
}
