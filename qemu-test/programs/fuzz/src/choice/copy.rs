// SPDX-License-Identifier: GPL-2.0

//! Choice of grant copies.

use guest_test::gntdev::BadAddress;
use xen_grants::PAGE_SIZE;

use super::chooser::Chooser;
use super::device::any_grant;
use crate::argument::CopyEnd;
use crate::argument::CopySegment;
use crate::operation::Operation;
use crate::operation::SCRATCH_PAGES;

/// Maximum number of segments of a copy.
const MOST_SEGMENTS: usize = 4;

/// Maximum length of a segment, longer than a page, which the device refuses.
const LONGEST_SEGMENT: usize = 2 * PAGE_SIZE;

fn copy_end(chooser: &mut Chooser, is_granted: bool) -> CopyEnd {
    let at = chooser.below((SCRATCH_PAGES - 2) * PAGE_SIZE);
    if is_granted {
        return CopyEnd::Grant(any_grant(chooser), (at % PAGE_SIZE) as u16);
    }
    match chooser.below(40) {
        0 => CopyEnd::Bad(chooser.pick(&BadAddress::ALL)),
        1..=20 => CopyEnd::Scratch(at),
        _ => CopyEnd::Mapping(chooser.mapping(), at),
    }
}

fn copy_segment(chooser: &mut Chooser) -> CopySegment {
    // Seldom both, and seldom none.
    let (from_grant, to_grant) = match chooser.below(40) {
        0 => (false, false),
        1..=8 => (true, true),
        9..=23 => (true, false),
        _ => (false, true),
    };
    let source = copy_end(chooser, from_grant);
    let destination = copy_end(chooser, to_grant);
    let offset = |end| match end {
        CopyEnd::Grant(_, offset) => usize::from(offset),
        _ => 0,
    };
    let room = PAGE_SIZE - offset(source).max(offset(destination));
    let length = match chooser.below(20) {
        0 => 0,
        1 => room,
        2 if chooser.one_of(2) => chooser.below(LONGEST_SEGMENT),
        _ => chooser.below(room),
    };
    CopySegment {
        source,
        destination,
        length: length as u16,
    }
}

/// Chooses [`Operation::Copy`].
pub fn copy(chooser: &mut Chooser) -> Operation {
    let count = chooser.below(MOST_SEGMENTS + 1);
    Operation::Copy {
        file: chooser.file(),
        segments: (0..count).map(|_| copy_segment(chooser)).collect(),
    }
}
