// SPDX-License-Identifier: GPL-2.0

//! Contents of `/sys/kernel/debug/xen/evtchn_fifo`.
//!
//! The file is read while events arrive: each number is that of its own moment, and two numbers may
//! be of different moments.

#![forbid(unsafe_code)]

use crate::{
    event_queue::Priority,
    event_word::Port,
    state::{
        CPUS,
        EVENT_ARRAY, //
    },
    xen::{
        event::shared_page::WORDS_PER_PAGE,
        kernel::per_cpu::PossibleCpu, //
    },
};
use core::sync::atomic::{
    AtomicU8,
    Ordering::Relaxed, //
};
use kernel::fmt;

/// Implementation that handles events.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Implementation {
    /// `events_2l.c`, by the 2-level ABI.
    TwoLevel = 0,
    /// `events_fifo.c`.
    C = 1,
    /// This crate.
    Rust = 2,
}

static RUNNING: AtomicU8 = AtomicU8::new(Implementation::TwoLevel as u8);

/// Sets the implementation that handles events from now on.
pub(crate) fn runs(implementation: Implementation) {
    RUNNING.store(implementation as u8, Relaxed);
}

/// Contents of the file.
pub(crate) struct View;

/// Writes the file. The first line names the implementation; the rest is only written for this
/// crate.
pub(crate) fn write(_view: &View, file: &mut fmt::Formatter<'_>) -> fmt::Result {
    const C: u8 = Implementation::C as u8;
    const RUST: u8 = Implementation::Rust as u8;
    match RUNNING.load(Relaxed) {
        RUST => writeln!(file, "ops rust")?,
        C => return writeln!(file, "ops c"),
        _ => return writeln!(file, "ops 2l"),
    }
    let pages = EVENT_ARRAY.page_count();
    writeln!(file, "pages {pages} ports {}", pages * WORDS_PER_PAGE)?;
    for cpu in PossibleCpu::all() {
        write_cpu(cpu, file)?;
    }
    for number in 1..(pages * WORDS_PER_PAGE) as u32 {
        write_port(number, file)?;
    }
    Ok(())
}

/// Writes one line for the CPU, and one for each of its queues that ever had an event.
fn write_cpu(cpu: PossibleCpu, file: &mut fmt::Formatter<'_>) -> fmt::Result {
    let events = CPUS.get(cpu);
    let number = cpu.number();
    writeln!(
        file,
        "cpu {number} online {} block {} drained {} astray {}",
        u8::from(cpu.is_online()),
        u8::from(events.is_known()),
        events.drained(),
        events.astray()
    )?;
    for priority in Priority::all() {
        let Some(queue) = events.queue(priority) else {
            continue;
        };
        if queue.consumed != 0 || queue.ready {
            writeln!(
                file,
                "cpu {number} priority {} ready {} head {} next {} consumed {}",
                priority.index(),
                u8::from(queue.ready),
                queue.head,
                queue.next,
                queue.consumed
            )?;
        }
    }
    Ok(())
}

/// Writes one line for a port, unless its word is that of a port that was never used.
fn write_port(number: u32, file: &mut fmt::Formatter<'_>) -> fmt::Result {
    let word = Port::new(number).and_then(|port| EVENT_ARRAY.word(port));
    let Some(state) = word.map(|word| word.state()) else {
        return Ok(());
    };
    if state.is_unused() {
        return Ok(());
    }
    writeln!(
        file,
        "port {number} pending {} masked {} linked {} link {}",
        u8::from(state.pending),
        u8::from(state.masked),
        u8::from(state.linked),
        state.link
    )
}
