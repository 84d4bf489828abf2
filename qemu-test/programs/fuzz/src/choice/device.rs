// SPDX-License-Identifier: GPL-2.0

//! Choice of operations on files of the device.

use guest_test::gntdev::BadAddress;
use guest_test::gntdev::Request;
use xen_grants::PAGE_SIZE;

use super::chooser::Chooser;
use super::MOST_PAGES;
use crate::argument::Answering;
use crate::argument::Grant;
use crate::argument::Range;
use crate::argument::Rights;
use crate::argument::Sent;
use crate::operation::Operation;
use crate::operation::FILES;

/// Opens a new file in slot `file`.
pub fn open_new(file: usize) -> Operation {
    Operation::Open {
        file,
        duplicate: None,
    }
}

/// Chooses [`Operation::Open`].
pub fn open(chooser: &mut Chooser) -> Operation {
    Operation::Open {
        file: chooser.free(|guess| &guess.files),
        duplicate: chooser.one_of(3).then(|| chooser.file()),
    }
}

/// Chooses [`Operation::Close`].
pub fn close(chooser: &mut Chooser) -> Operation {
    Operation::Close {
        file: chooser.below(FILES),
    }
}

/// Returns a grant, mostly one of the share in slot `share`.
pub fn grant(chooser: &mut Chooser, share: usize) -> Grant {
    let share = if chooser.one_of(10) {
        chooser.held(|guess| &guess.shares)
    } else {
        share
    };
    match chooser.below(120) {
        0 => Grant::BeyondTable,
        1 => Grant::AbsentDomain,
        2 => Grant::WideDomain { share },
        _ => Grant::Of {
            share,
            page: chooser.below(MOST_PAGES),
        },
    }
}

/// Returns a grant of any share.
pub fn any_grant(chooser: &mut Chooser) -> Grant {
    let share = chooser.held(|guess| &guess.shares);
    grant(chooser, share)
}

/// Chooses [`Operation::Insert`].
pub fn insert(chooser: &mut Chooser) -> Operation {
    let count = 1 + chooser.below(MOST_PAGES);
    let share = chooser.held(|guess| &guess.shares);
    Operation::Insert {
        file: chooser.file(),
        region: chooser.slot(
            |guess| &guess.regions,
            |held| held.is_none_or(|region| region.mapped),
        ),
        grants: (0..count).map(|_| grant(chooser, share)).collect(),
    }
}

/// Chooses [`Operation::InsertClaiming`].
pub fn insert_claiming(chooser: &mut Chooser) -> Operation {
    let counts = [0, 65537, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX];
    Operation::InsertClaiming {
        file: chooser.file(),
        count: chooser.pick(&counts),
    }
}

fn range(chooser: &mut Chooser) -> Range {
    match chooser.below(40) {
        0 => Range::WithoutFirst,
        1 => Range::Longer,
        2 => Range::Far,
        _ => Range::Exact,
    }
}

/// Returns access rights of any kind.
pub fn rights(chooser: &mut Chooser) -> Rights {
    chooser.pick(&[
        Rights::None,
        Rights::Read,
        Rights::ReadWrite,
        Rights::ReadWrite,
    ])
}

/// Returns the slot of the file that has the region in slot `region`, or, seldom, of another.
fn file_of(chooser: &mut Chooser, region: usize) -> usize {
    let is_other = chooser.one_of(20);
    match &chooser.guess.regions[region] {
        Some(region) if !is_other => region.file,
        _ => chooser.file(),
    }
}

/// Chooses [`Operation::Remove`].
pub fn remove(chooser: &mut Chooser) -> Operation {
    let region = chooser.held(|guess| &guess.regions);
    Operation::Remove {
        file: file_of(chooser, region),
        region,
        range: range(chooser),
        any_count: chooser.one_of(4),
    }
}

/// Chooses [`Operation::Map`].
pub fn map(chooser: &mut Chooser) -> Operation {
    let region = chooser.slot(
        |guess| &guess.regions,
        |held| held.is_some_and(|region| !region.mapped),
    );
    let allowed = chooser.guess.regions[region].map(|region| region.rights);
    let rights = match allowed {
        Some(allowed) if !chooser.one_of(12) => rights(chooser).min(allowed),
        _ => rights(chooser),
    };
    let private = rights != Rights::ReadWrite || chooser.one_of(20);
    Operation::Map {
        file: file_of(chooser, region),
        region,
        mapping: chooser.free(|guess| &guess.mappings),
        range: range(chooser),
        rights,
        private: private && chooser.one_of(3),
    }
}

/// Chooses [`Operation::Notify`].
pub fn notify(chooser: &mut Chooser) -> Operation {
    let region = chooser.held(|guess| &guess.regions);
    let pages = chooser.guess.regions[region].map_or(MOST_PAGES, |region| region.pages);
    // Seldom beyond the end.
    let pages = pages + usize::from(chooser.one_of(10));
    Operation::Notify {
        file: file_of(chooser, region),
        region,
        at: chooser.below(pages * PAGE_SIZE),
        action: chooser.pick(&[0, 1, 1, 1, 1, 1, 2, 3, 3, 4, 5, 1 << 31]),
        open_port: !chooser.one_of(6),
    }
}

/// Chooses [`Operation::Send`].
pub fn send(chooser: &mut Chooser) -> Operation {
    let sent = if chooser.one_of(2) {
        Sent::File(chooser.file())
    } else {
        Sent::Buffer(chooser.held(|guess| &guess.buffers))
    };
    Operation::Send { sent }
}

/// Chooses [`Operation::Receive`].
pub fn receive(chooser: &mut Chooser) -> Operation {
    Operation::Receive {
        file: chooser.free(|guess| &guess.files),
        buffer: chooser.free(|guess| &guess.buffers),
    }
}

/// Chooses [`Operation::PlaceOf`].
pub fn place_of(chooser: &mut Chooser) -> Operation {
    Operation::PlaceOf {
        file: chooser.file(),
        mapping: chooser.mapping(),
    }
}

/// Chooses [`Operation::Read`].
pub fn read(chooser: &mut Chooser) -> Operation {
    Operation::Read {
        file: chooser.file(),
        length: chooser.pick(&[0, 1, 7, 8, 8, 8, 8, 8, 9, 64]),
    }
}

/// Chooses [`Operation::Poll`].
pub fn poll(chooser: &mut Chooser) -> Operation {
    Operation::Poll {
        file: chooser.file(),
    }
}

/// Chooses [`Operation::BadArgument`].
pub fn bad_argument(chooser: &mut Chooser) -> Operation {
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
        file: chooser.file(),
        request: chooser.pick(&requests),
        address: chooser.pick(&BadAddress::ALL),
    }
}

/// Chooses [`Operation::ReadOnlyArgument`].
pub fn read_only_argument(chooser: &mut Chooser) -> Operation {
    let request = match chooser.below(3) {
        0 => Answering::Insert(any_grant(chooser)),
        1 => Answering::Export(chooser.held(|guess| &guess.shares)),
        _ => Answering::Import(chooser.held(|guess| &guess.memories)),
    };
    Operation::ReadOnlyArgument {
        file: chooser.file(),
        request,
    }
}

#[cfg(test)]
mod tests {
    use super::super::owner::share_in;
    use super::*;
    use crate::operation::REGIONS;

    /// Without the guess nearly all mappings would be of regions that are not there.
    #[test]
    fn most_mappings_are_of_a_region_that_is_not_mapped_yet() {
        let mut chooser = Chooser::new(3);
        for file in 0..FILES {
            chooser.guess.follow(&open_new(file));
        }
        let insert = Operation::Insert {
            file: 1,
            region: REGIONS - 1,
            grants: vec![Grant::Of { share: 0, page: 0 }],
        };
        let share = share_in(&mut chooser, 0);
        chooser.guess.follow(&share);
        chooser.guess.follow(&insert);
        let chosen = (0..100).filter(|_| {
            let Operation::Map { file, region, .. } = map(&mut chooser) else {
                return false;
            };
            (file, region) == (1, REGIONS - 1)
        });
        let count = chosen.count();
        assert!((60..100).contains(&count), "{count}");
    }
}
