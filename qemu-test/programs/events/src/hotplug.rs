// SPDX-License-Identifier: GPL-2.0

//! Processors that go and come back while events come to them.

use std::fs;
use std::io;
use std::path::Path;

use clients::limit::PATIENCE;
use guest_test::hypercall::Hypercalls;
use guest_test::platform::MemoryModel;
use suites::wait::until;

use crate::ops::Ops;

/// The line of /proc/interrupts of one event channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    number: u32,
    /// Number of its events, by processor; only those that run are listed.
    events: Vec<u64>,
}

/// Start of the names that the device gives to the interrupts of this crate's programs.
const NAME: &str = "evtchn:event-";

/// Reason for which events of dom0's are lost when its processors go, if they are. Linux's own
/// operations for the FIFO ABI drop the events in the queue of a processor that has gone: "Dropping
/// pending event for port" in the log. Their ports were moved to another processor, but the events
/// were linked before, and nobody links them anew. Seen in a PVH dom0, not in a PV one.
pub fn loss_in_dom0() -> Option<&'static str> {
    let c = Ops::asked().is_ok_and(|ops| ops == Ops::C);
    let translated = MemoryModel::current().is_ok_and(|model| model == MemoryModel::AutoTranslated);
    (c && translated).then_some("Linux's own operations drop what is queued for a processor")
}

/// Takes one processor after the other away and gives it back, `count` times in all. To each that
/// is back it gives half of the interrupts of this crate's programs, and waits until one of them
/// has come there, so that each has events when it goes. Returns how many events came to these
/// processors.
pub fn cycle(count: u32) -> io::Result<u64> {
    let processors = u32::try_from(channels()?.first().map_or(0, |first| first.events.len()))
        .map_err(io::Error::other)?;
    if processors < 2 {
        return Err(io::Error::other("there is no processor that could go"));
    }
    let before = events_beyond_first(&channels()?);
    for number in 0..count {
        let processor = 1 + number % (processors - 1);
        attract(processor)?;
        set_online(processor, false)?;
        set_online(processor, true)?;
    }
    Ok(events_beyond_first(&channels()?) - before)
}

/// Takes all processors but the first away, and binds `ports` to their vCPUs in turn: events on
/// these ports stay in the queues of processors that have gone. The kernel has moved the interrupts
/// of the ports to the first processor, and does not know of the binding.
pub fn strand(ports: &[u32]) -> io::Result<()> {
    let gone = others();
    if gone.is_empty() {
        return Err(io::Error::other("there is no processor that could go"));
    }
    for processor in &gone {
        set_online(*processor, false)?;
    }
    let hypercalls = Hypercalls::open()?;
    for (port, processor) in ports.iter().zip(gone.iter().cycle()) {
        hypercalls.bind_vcpu(*port, *processor)?;
    }
    Ok(())
}

/// Name of the step that fails in [`fail_to_return`], and of the one in which the kernel prepares a
/// processor for events.
const FAILING: &str = "timers:prepare";
const PREPARING: &str = "xen/evtchn:prepare";

/// Lets each processor that was taken away fail to come back, before it runs: the kernel has
/// prepared it for events, and undoes that as it does for a processor that goes.
pub fn fail_to_return() -> io::Result<()> {
    let steps = fs::read_to_string("/sys/devices/system/cpu/hotplug/states")?;
    let step = step_after(&steps, FAILING, PREPARING)?;
    for processor in others() {
        fs::write(file(processor, "hotplug/fail"), step.to_string())?;
        match fs::write(file(processor, "online"), "1") {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => {
                return Err(io::Error::other(format!(
                    "processor {processor} comes back, and should not: {result:?}"
                )))
            }
        }
    }
    Ok(())
}

/// Number of the step `name` in the kernel's list, if it comes after the step `earlier`.
fn step_after(steps: &str, name: &str, earlier: &str) -> io::Result<u32> {
    let number = |name: &str| {
        steps
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(_, found)| found.trim() == name)
            .and_then(|(number, _)| number.trim().parse::<u32>().ok())
    };
    number(name)
        .zip(number(earlier))
        .filter(|(number, earlier)| number > earlier)
        .map(|(number, _)| number)
        .ok_or_else(|| io::Error::other(format!("no step {name} after {earlier} in {steps:?}")))
}

/// Gives all processors back.
pub fn give_back() -> io::Result<()> {
    others()
        .into_iter()
        .try_for_each(|processor| set_online(processor, true))
}

/// Processors that can go: all but the first.
fn others() -> Vec<u32> {
    (1..)
        .take_while(|processor| Path::new(&file(*processor, "online")).exists())
        .collect()
}

/// Numbers of events of this crate's programs, by processor; only those that run are listed.
pub fn events_by_processor() -> io::Result<Vec<u64>> {
    Ok(sum_by_processor(&channels()?))
}

/// Gives `processor` half of the interrupts and waits for the first of them.
fn attract(processor: u32) -> io::Result<()> {
    let column = processor as usize;
    let before = channels()?;
    for interrupt in before.iter().step_by(2) {
        let path = format!("/proc/irq/{}/smp_affinity", interrupt.number);
        fs::write(path, format!("{:x}", 1u32 << processor))?;
    }
    let events = |all: &[Interrupt]| all.iter().map(|one| one.events[column]).sum::<u64>();
    let before = events(&channels()?);
    until(PATIENCE, || {
        Ok((events(&channels()?) > before).then_some(()))
    })?
    .ok_or_else(|| io::Error::other(format!("no event comes to processor {processor}")))
}

/// Tries to have `processor` run, and returns the kernel's own error.
pub fn bring_up(processor: u32) -> io::Result<()> {
    fs::write(file(processor, "online"), "1")
}

fn set_online(processor: u32, online: bool) -> io::Result<()> {
    let state = if online { "1" } else { "0" };
    fs::write(file(processor, "online"), state).map_err(|error| {
        let what = if online { "come back" } else { "go" };
        io::Error::other(format!("processor {processor} does not {what}: {error}"))
    })
}

/// Path of a file of the processor.
fn file(processor: u32, name: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{processor}/{name}")
}

fn sum_by_processor(interrupts: &[Interrupt]) -> Vec<u64> {
    let processors = interrupts.first().map_or(0, |first| first.events.len());
    (0..processors)
        .map(|column| interrupts.iter().map(|one| one.events[column]).sum())
        .collect()
}

fn events_beyond_first(interrupts: &[Interrupt]) -> u64 {
    sum_by_processor(interrupts).iter().skip(1).sum()
}

fn channels() -> io::Result<Vec<Interrupt>> {
    Ok(parse(&fs::read_to_string("/proc/interrupts")?))
}

/// Reads the lines of this crate's programs. The first line of the file has a word for each
/// processor.
fn parse(text: &str) -> Vec<Interrupt> {
    let mut lines = text.lines();
    let processors = lines.next().unwrap_or_default().split_whitespace().count();
    lines
        .filter(|line| line.contains(NAME))
        .filter_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let events = rest
                .split_whitespace()
                .take(processors)
                .map(|word| word.parse().ok())
                .collect::<Option<Vec<u64>>>()?;
            Some(Interrupt {
                number: number.trim().parse().ok()?,
                events,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_interrupts_are_read() {
        let text = "           CPU0       CPU1       \n\
                    \x20 16:       9000          0  xen-percpu    -virq      timer0\n\
                    \x20 40:         12          3  xen-dyn-lateeoi     evtchn:event-channels\n\
                    \x20 41:          0          7  xen-dyn-lateeoi     evtchn:xenstored\n\
                    1042:          5          0  xen-dyn-lateeoi     evtchn:event-peer\n\
                    NMI:           0          0   Non-maskable interrupts\n";
        let interrupts = parse(text);
        let expected = [(40, vec![12, 3]), (1042, vec![5, 0])]
            .map(|(number, events)| Interrupt { number, events });
        assert_eq!(interrupts, expected);
        assert_eq!(sum_by_processor(&interrupts), [17, 3]);
        assert_eq!(events_beyond_first(&interrupts), 3);
    }

    #[test]
    fn a_step_is_found_only_after_the_other() {
        let steps = "  0: offline\n 51: xen/evtchn:prepare\n 57: timers:prepare\n";
        assert_eq!(step_after(steps, FAILING, PREPARING).unwrap(), 57);
        assert!(step_after(steps, PREPARING, FAILING).is_err());
        assert!(step_after(steps, "evtchn:prepare", "offline").is_err());
        assert!(step_after(" 57: timers:prepare\n", FAILING, PREPARING).is_err());
    }
}
