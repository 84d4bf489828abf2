// SPDX-License-Identifier: GPL-2.0

//! Model of regions.

use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::EOPNOTSUPP;
use guest_test::gntdev::notify;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::argument::Rights;
use crate::grants::PageId;
use crate::grants::Permission;
use crate::outcome::expect;
use crate::outcome::Expected;
use crate::outcome::Outcome;
use crate::outcome::Verdict;
use crate::state::FileId;
use crate::state::Piece;
use crate::state::Presence;
use crate::state::RegionName;
use crate::state::Source;
use crate::state::State;

/// Compares the outcome of `MAP_GRANT_REF` with those that are expected, and follows it.
pub fn insert(
    state: &mut State,
    file: FileId,
    slot: usize,
    grants: Vec<GrantRef>,
    outcome: &Outcome,
) -> Verdict {
    let &Outcome::Number(index) = outcome else {
        return Err(format!("{outcome:?}, expected an offset"));
    };
    let count = grants.len();
    let page_size = PAGE_SIZE as u64;
    if index % page_size != 0 {
        return Err(format!("offset {index:#x} does not begin a page"));
    }
    let end = index + count as u64 * page_size;
    for page in (index..end).step_by(PAGE_SIZE) {
        if state.find_containing(file, page).is_some() {
            return Err(format!(
                "offset {index:#x} of {count} pages overlaps another region"
            ));
        }
    }
    if state.file(file).regions.is_empty() && index != 0 {
        return Err(format!(
            "the first region of the file has offset {index:#x}"
        ));
    }
    state.insert(file, index / page_size, grants);
    state.names[slot] = Some(RegionName { index, count });
    Ok(())
}

pub fn mapping_of(state: &State, grants: &[GrantRef], writing: bool) -> (Expected, Vec<PageId>) {
    let mut pages = Vec::new();
    let mut expected = Expected::success();
    let mut is_refused = false;
    for grant in grants {
        if !state.maps_own_grants() && grant.domid == DOM0 {
            expected = expected.or(EOPNOTSUPP);
            is_refused = true;
            continue;
        }
        match state.grants.permission(*grant, writing) {
            Permission::Granted(page) => pages.push(page),
            Permission::Ending(page) => {
                expected = expected.or(EINVAL);
                pages.push(page);
            }
            Permission::Refused => {
                expected = expected.or(EINVAL);
                is_refused = true;
            }
        }
    }
    if is_refused {
        expected = expected.failure();
    }
    (expected, pages)
}

/// Compares the outcome of `mmap()` of the device with those that are expected, and follows it.
pub fn map(
    state: &mut State,
    file: FileId,
    (index, count): (u64, usize),
    (rights, private): (Rights, bool),
    slot: usize,
    outcome: &Outcome,
) -> Verdict {
    let writing = rights == Rights::ReadWrite;
    let region = state.find(file, index, Some(count));
    let region = region.filter(|_| !(private && writing));
    let Some(region) = region.filter(|region| state.region(*region).mapped.is_none()) else {
        return expect(outcome, &Outcome::Error(EINVAL));
    };
    let grants = state.region(region).grants.clone();
    let (expected, pages) = mapping_of(state, &grants, writing);
    if expected.compare(outcome)? {
        grants
            .iter()
            .for_each(|grant| state.grants.set_used(*grant));
        let piece = Piece {
            source: Source::Region(file, region),
            first: 0,
            pages,
            rights,
            may_write: writing,
            presence: Presence::Present,
        };
        state.map(slot, (file, region), piece);
    }
    Ok(())
}

/// Compares the outcome of `SET_UNMAP_NOTIFY` with those that are expected, and follows it.
pub fn set_notify(
    state: &mut State,
    file: FileId,
    index: u64,
    action: u32,
    open_port: bool,
    outcome: &Outcome,
) -> Verdict {
    let clears = action & notify::CLEAR_BYTE != 0;
    let sends = action & notify::SEND_EVENT != 0;
    let is_unknown = action & !(notify::CLEAR_BYTE | notify::SEND_EVENT) != 0;
    if is_unknown || (sends && !open_port) {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    let Some((region, at)) = state.find_containing(file, index) else {
        return expect(outcome, &Outcome::Error(ENOENT));
    };
    let region = state.region(region);
    let is_read_only = region
        .mapped
        .as_ref()
        .is_some_and(|mapped| !mapped.writable);
    if clears && is_read_only {
        return expect(outcome, &Outcome::Error(EINVAL));
    }
    region.clear_byte = clears.then_some(at);
    expect(outcome, &Outcome::Done)
}

/// Compares the outcome of `GET_OFFSET_FOR_VADDR` with those that are expected, and follows it.
pub fn place_of(state: &mut State, slot: usize, outcome: &Outcome) -> Verdict {
    let source = state.pieces[slot].as_ref().map(|piece| piece.source);
    let Some(Source::Region(_, region)) = source else {
        return expect(outcome, &Outcome::Error(EINVAL));
    };
    let region = state.region(region);
    let expected = Outcome::Place {
        offset: region.index,
        count: region.grants.len() as u32,
    };
    expect(outcome, &expected)
}
