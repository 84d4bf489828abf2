// SPDX-License-Identifier: GPL-2.0

//! Choice of the operations of a run from a seed.

use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Request;
use suites::random::Random;
use xen_grants::PAGE_SIZE;

use crate::operation::Answering;
use crate::operation::By;
use crate::operation::CopyEnd;
use crate::operation::CopySegment;
use crate::operation::Grant;
use crate::operation::Operation;
use crate::operation::Range;
use crate::operation::Rights;
use crate::operation::BUFFERS;
use crate::operation::FILES;
use crate::operation::MAPPINGS;
use crate::operation::MEMORIES;
use crate::operation::REGIONS;
use crate::operation::SCRATCH_PAGES;
use crate::operation::SHARES;

/// Maximum number of pages of a share and of grants of a region.
const MOST_PAGES: usize = 4;

/// Maximum number of segments of a copy.
const MOST_SEGMENTS: usize = 4;

/// Maximum length of a segment, longer than a page, which the device refuses.
const LONGEST_SEGMENT: usize = 2 * PAGE_SIZE;

type Choice = fn(&mut Random) -> Operation;

/// Choices, and their weights. Operations of a domU take milliseconds and are seldom chosen.
const CHOICES: [(usize, Choice); 35] = [
    (3, share),
    (1, |r| Operation::Unshare {
        share: slot(r, SHARES),
    }),
    (2, owner_read),
    (2, owner_write),
    (15, open),
    (5, |r| Operation::Close {
        file: slot(r, FILES),
    }),
    (80, insert),
    (5, insert_claiming),
    (40, remove),
    (90, map),
    (30, notify),
    (20, place_of),
    (60, copy),
    (40, export),
    (20, |r| Operation::CloseBuffer {
        buffer: slot(r, BUFFERS),
    }),
    (40, map_buffer),
    (15, wait),
    (8, make_memory),
    (4, |r| Operation::CloseMemory {
        memory: slot(r, MEMORIES),
    }),
    (25, import),
    (15, |r| Operation::EndImport {
        file: slot(r, FILES),
        memory: slot(r, MEMORIES),
    }),
    (15, read),
    (10, |r| Operation::Poll {
        file: slot(r, FILES),
    }),
    (15, bad_argument),
    (15, read_only_argument),
    (30, split),
    (70, |r| Operation::Unmap {
        mapping: slot(r, MAPPINGS),
    }),
    (40, protect),
    (10, |r| Operation::Discard {
        mapping: slot(r, MAPPINGS),
    }),
    (10, |r| Operation::Relocate {
        mapping: slot(r, MAPPINGS),
    }),
    (5, |r| Operation::Grow {
        mapping: slot(r, MAPPINGS),
    }),
    (50, load),
    (50, store),
    (10, |r| Operation::Splice {
        mapping: slot(r, MAPPINGS),
    }),
    (10, |_| Operation::Drain),
];

/// Weight of a fork, which takes longer than the others together.
const FORK: usize = 2;

/// Returns the first `count` operations that `seed` names.
pub fn operations(seed: u64, count: usize) -> Vec<Operation> {
    let mut random = Random::new(seed);
    // The generator begins with small numbers if the seed is one.
    for _ in 0..16 {
        random.below(1);
    }
    (0..count).map(|_| operation(&mut random)).collect()
}

fn operation(random: &mut Random) -> Operation {
    let all: usize = CHOICES.iter().map(|(weight, _)| weight).sum();
    let mut number = random.below(all + FORK);
    for (weight, choice) in CHOICES {
        if number < weight {
            return choice(random);
        }
        number -= weight;
    }
    Operation::Fork {
        mapping: slot(random, MAPPINGS),
    }
}

fn slot(random: &mut Random, count: usize) -> usize {
    random.below(count)
}

/// Returns true in one of `count` cases.
fn one_of(random: &mut Random, count: usize) -> bool {
    random.below(count) == 0
}

fn pick<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[random.below(values.len())]
}

fn share(random: &mut Random) -> Operation {
    Operation::Share {
        share: slot(random, SHARES),
        pages: 1 + random.below(MOST_PAGES),
        writable: !one_of(random, 4),
        seed: random.below(1 << 16) as u32,
    }
}

fn owner_read(random: &mut Random) -> Operation {
    Operation::OwnerRead {
        share: slot(random, SHARES),
        at: random.below(MOST_PAGES * PAGE_SIZE),
    }
}

fn owner_write(random: &mut Random) -> Operation {
    Operation::OwnerWrite {
        share: slot(random, SHARES),
        at: random.below(MOST_PAGES * PAGE_SIZE),
        value: random.below(256) as u8,
    }
}

fn open(random: &mut Random) -> Operation {
    Operation::Open {
        file: slot(random, FILES),
        duplicate: one_of(random, 3).then(|| slot(random, FILES)),
    }
}

fn grant(random: &mut Random) -> Grant {
    let share = slot(random, SHARES);
    match random.below(40) {
        0 => Grant::BeyondTable,
        1 => Grant::AbsentDomain,
        2 => Grant::WideDomain { share },
        _ => Grant::Of {
            share,
            page: random.below(MOST_PAGES),
        },
    }
}

fn insert(random: &mut Random) -> Operation {
    let count = 1 + random.below(MOST_PAGES);
    Operation::Insert {
        file: slot(random, FILES),
        region: slot(random, REGIONS),
        grants: (0..count).map(|_| grant(random)).collect(),
    }
}

fn insert_claiming(random: &mut Random) -> Operation {
    let counts = [0, 65537, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX];
    Operation::InsertClaiming {
        file: slot(random, FILES),
        count: pick(random, &counts),
    }
}

fn range(random: &mut Random) -> Range {
    match random.below(20) {
        0 => Range::WithoutFirst,
        1 => Range::Longer,
        2 => Range::Far,
        _ => Range::Exact,
    }
}

fn remove(random: &mut Random) -> Operation {
    Operation::Remove {
        file: slot(random, FILES),
        region: slot(random, REGIONS),
        range: range(random),
        any_count: one_of(random, 4),
    }
}

fn rights(random: &mut Random) -> Rights {
    pick(
        random,
        &[
            Rights::None,
            Rights::Read,
            Rights::ReadWrite,
            Rights::ReadWrite,
        ],
    )
}

fn map(random: &mut Random) -> Operation {
    Operation::Map {
        file: slot(random, FILES),
        region: slot(random, REGIONS),
        mapping: slot(random, MAPPINGS),
        range: range(random),
        rights: rights(random),
        private: one_of(random, 6),
    }
}

fn notify(random: &mut Random) -> Operation {
    Operation::Notify {
        file: slot(random, FILES),
        region: slot(random, REGIONS),
        at: random.below((MOST_PAGES + 1) * PAGE_SIZE),
        action: pick(random, &[0, 1, 1, 1, 2, 3, 4, 5, 1 << 31]),
        open_port: !one_of(random, 4),
    }
}

fn place_of(random: &mut Random) -> Operation {
    Operation::PlaceOf {
        file: slot(random, FILES),
        mapping: slot(random, MAPPINGS),
    }
}

fn copy_end(random: &mut Random, is_granted: bool) -> CopyEnd {
    let at = random.below((SCRATCH_PAGES - 2) * PAGE_SIZE);
    if is_granted {
        return CopyEnd::Grant(grant(random), (at % PAGE_SIZE) as u16);
    }
    match random.below(20) {
        0 => CopyEnd::Bad(pick(random, &BadAddress::ALL)),
        1..=10 => CopyEnd::Scratch(at),
        _ => CopyEnd::Mapping(slot(random, MAPPINGS), at),
    }
}

fn copy_segment(random: &mut Random) -> CopySegment {
    // Seldom both, and seldom none.
    let (from_grant, to_grant) = match random.below(12) {
        0 => (false, false),
        1 | 2 => (true, true),
        3..=7 => (true, false),
        _ => (false, true),
    };
    let source = copy_end(random, from_grant);
    let destination = copy_end(random, to_grant);
    let offset = |end| match end {
        CopyEnd::Grant(_, offset) => usize::from(offset),
        _ => 0,
    };
    let room = PAGE_SIZE - offset(source).max(offset(destination));
    let length = match random.below(20) {
        0 => 0,
        1 => room,
        2 => random.below(LONGEST_SEGMENT),
        _ => random.below(room),
    };
    CopySegment {
        source,
        destination,
        length: length as u16,
    }
}

fn copy(random: &mut Random) -> Operation {
    let count = random.below(MOST_SEGMENTS + 1);
    Operation::Copy {
        file: slot(random, FILES),
        segments: (0..count).map(|_| copy_segment(random)).collect(),
    }
}

fn export(random: &mut Random) -> Operation {
    Operation::Export {
        file: slot(random, FILES),
        buffer: slot(random, BUFFERS),
        share: slot(random, SHARES),
        flags: pick(random, &[0, 0, 0, 1, 2, 3, 4, 1 << 31]),
        offset: one_of(random, 3).then(|| random.below((MOST_PAGES + 1) * PAGE_SIZE) as u32),
        bad: one_of(random, 10),
    }
}

fn map_buffer(random: &mut Random) -> Operation {
    Operation::MapBuffer {
        buffer: slot(random, BUFFERS),
        mapping: slot(random, MAPPINGS),
        first: random.below(2),
        pages: 1 + random.below(MOST_PAGES),
        rights: rights(random),
        private: one_of(random, 10),
    }
}

fn wait(random: &mut Random) -> Operation {
    Operation::Wait {
        file: slot(random, FILES),
        buffer: slot(random, BUFFERS),
        long: one_of(random, 3),
    }
}

fn make_memory(random: &mut Random) -> Operation {
    Operation::MakeMemory {
        memory: slot(random, MEMORIES),
        pages: 1 + random.below(MOST_PAGES),
    }
}

fn import(random: &mut Random) -> Operation {
    Operation::Import {
        file: slot(random, FILES),
        memory: slot(random, MEMORIES),
        more: pick(random, &[0, 0, 0, 0, 0, 0, -1, 1, 70_000]),
        wide_domain: one_of(random, 10),
        second_form: one_of(random, 2),
    }
}

fn read(random: &mut Random) -> Operation {
    Operation::Read {
        file: slot(random, FILES),
        length: pick(random, &[0, 1, 7, 8, 8, 8, 9, 64]),
    }
}

fn bad_argument(random: &mut Random) -> Operation {
    let requests = [
        Request::MAP_GRANT_REF,
        Request::UNMAP_GRANT_REF,
        Request::GET_OFFSET_FOR_VADDR,
        Request::SET_MAX_GRANTS,
        Request::SET_UNMAP_NOTIFY,
        Request::GRANT_COPY,
        Request::GRANT_COPY_32,
        Request::DMABUF_EXPORT,
        Request::DMABUF_WAIT_RELEASED,
        Request::DMABUF_IMPORT,
        Request::DMABUF_RELEASE_IMPORT,
        Request::DMABUF_EXPORT_AT,
        Request::DMABUF_IMPORT_AT,
        Request::UNKNOWN,
    ];
    Operation::BadArgument {
        file: slot(random, FILES),
        request: pick(random, &requests),
        address: pick(random, &BadAddress::ALL),
    }
}

fn read_only_argument(random: &mut Random) -> Operation {
    let request = match random.below(3) {
        0 => Answering::Insert(grant(random)),
        1 => Answering::Export(slot(random, SHARES)),
        _ => Answering::Import(slot(random, MEMORIES)),
    };
    Operation::ReadOnlyArgument {
        file: slot(random, FILES),
        request,
    }
}

fn split(random: &mut Random) -> Operation {
    Operation::Split {
        mapping: slot(random, MAPPINGS),
        rest: slot(random, MAPPINGS),
        at: random.below(MOST_PAGES),
    }
}

fn protect(random: &mut Random) -> Operation {
    Operation::Protect {
        mapping: slot(random, MAPPINGS),
        rights: rights(random),
    }
}

fn by(random: &mut Random) -> By {
    pick(
        random,
        &[By::Program, By::Program, By::Kernel, By::Reference],
    )
}

fn load(random: &mut Random) -> Operation {
    Operation::Load {
        mapping: slot(random, MAPPINGS),
        by: by(random),
    }
}

fn store(random: &mut Random) -> Operation {
    Operation::Store {
        mapping: slot(random, MAPPINGS),
        at: random.below(MOST_PAGES * PAGE_SIZE),
        value: random.below(256) as u8,
        by: by(random),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_seed_names_the_same_operations_each_time() {
        assert_eq!(operations(7, 200), operations(7, 200));
        assert_eq!(operations(7, 200)[..50], operations(7, 50));
        assert_ne!(operations(7, 50), operations(8, 50));
    }

    #[test]
    fn each_operation_is_chosen() {
        let mut counts = BTreeMap::new();
        for operation in operations(1, 20_000) {
            *counts.entry(operation.name()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), CHOICES.len() + 1, "{counts:?}");
    }
}
