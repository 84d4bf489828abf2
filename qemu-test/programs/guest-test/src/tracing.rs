// SPDX-License-Identifier: GPL-2.0

//! Trace events of the kernel, in a buffer of one's own.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Trace buffer that records the events of one system. Dropping it ends the recording.
#[derive(Debug)]
pub struct Trace {
    folder: PathBuf,
}

/// Recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Id of the thread that it happened in.
    pub thread: u32,
    /// Name of the event.
    pub name: String,
    /// Fields of the event, as `field=value` words.
    pub fields: String,
}

impl Event {
    /// Returns the value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .split(' ')
            .filter_map(|word| word.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl Trace {
    /// Returns true if the running kernel has events of `system`.
    pub fn is_available(system: &str) -> bool {
        Path::new(TRACEFS).join("events").join(system).exists()
    }

    /// Starts to record the events of `system` whose names are in `events`, or all of its events if
    /// that is empty. The buffer holds `kib` KiB for each processor.
    pub fn begin(system: &str, events: &[&str], kib: usize) -> io::Result<Self> {
        let name = format!("{system}-{}", process::id());
        let folder = Path::new(TRACEFS).join("instances").join(name);
        fs::create_dir(&folder)?;
        let trace = Self { folder };
        fs::write(trace.folder.join("buffer_size_kb"), kib.to_string())?;
        let system = trace.folder.join("events").join(system);
        if events.is_empty() {
            fs::write(system.join("enable"), "1")?;
        }
        for event in events {
            fs::write(system.join(event).join("enable"), "1")?;
        }
        Ok(trace)
    }

    /// Returns the events recorded so far, in order.
    pub fn events(&self) -> io::Result<Vec<Event>> {
        let text = fs::read_to_string(self.folder.join("trace"))?;
        Ok(text.lines().filter_map(parse).collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A buffer that is left costs memory only; and a suite that makes another one of the same
        // name fails.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Parses a line such as `  program-12  [001] ..... 3.456: event_name: field=1 other=2`.
fn parse(line: &str) -> Option<Event> {
    if line.starts_with('#') {
        return None;
    }
    let (task, rest) = line.split_once('[')?;
    let (_, thread) = task.trim_end().rsplit_once('-')?;
    let (_, rest) = rest.split_once(": ")?;
    let (name, fields) = rest.split_once(": ")?;
    Some(Event {
        thread: thread.parse().ok()?,
        name: name.to_string(),
        fields: fields.trim_end().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_task_event_and_fields() {
        let line = "     gntdev-self-105     [001] .....     7.012345: \
                    xen_gntdev_map: index=0x0 count=3 writable=1 error=0";
        let event = parse(line).unwrap();

        assert_eq!(event.thread, 105);
        assert_eq!(event.name, "xen_gntdev_map");
        assert_eq!(event.field("count"), Some("3"));
        assert_eq!(event.field("error"), Some("0"));
        assert_eq!(event.field("coun"), None);
    }

    #[test]
    fn comments_are_no_events() {
        assert_eq!(parse("# tracer: nop"), None);
        assert_eq!(
            parse("#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION"),
            None
        );
    }
}
