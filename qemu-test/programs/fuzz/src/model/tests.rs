// SPDX-License-Identifier: GPL-2.0

//! Tests of the model.

use guest_test::errno::EACCES;
use guest_test::errno::EAGAIN;
use guest_test::errno::EFAULT;
use guest_test::errno::EINVAL;
use guest_test::errno::ENOENT;
use guest_test::errno::EOPNOTSUPP;
use guest_test::errno::ETIMEDOUT;
use guest_test::gntdev::notify;
use guest_test::pattern::pattern;
use xen_grants::GrantRef;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use super::*;
use crate::argument::Grant;

const DOMU: u32 = 5;
const PARAVIRTUAL: Setting = Setting {
    paravirtual: true,
    maps_own_grants: true,
    domu: Some(DOMU),
    has_process_memory: true,
};
const AUTO_TRANSLATED: Setting = Setting {
    paravirtual: false,
    maps_own_grants: false,
    domu: Some(DOMU),
    has_process_memory: true,
};

fn grant(page: usize) -> Grant {
    Grant::Of { share: 1, page }
}

/// Model of a process with a file in slot 0, a share of the domU in slot 1, and a region of its
/// two pages in slot 0.
fn with_region(setting: Setting, writable: bool) -> Model {
    let mut model = Model::new(setting);
    let grants = [8, 9].map(|reference| GrantRef {
        domid: DOMU,
        reference,
    });
    let operations = [
        (
            Operation::Share {
                share: 1,
                pages: 2,
                writable,
                seed: 3,
            },
            Outcome::Grants(grants.to_vec()),
        ),
        (
            Operation::Open {
                file: 0,
                duplicate: None,
            },
            Outcome::Done,
        ),
        (
            Operation::Insert {
                file: 0,
                region: 0,
                grants: vec![grant(0), grant(1)],
            },
            Outcome::Number(0),
        ),
    ];
    for (operation, outcome) in operations {
        assert_eq!(model.judge(&operation, &outcome), Ok(()));
    }
    model
}

fn map(mapping: usize, rights: Rights) -> Operation {
    Operation::Map {
        file: 0,
        region: 0,
        mapping,
        range: Range::Exact,
        rights,
        private: false,
    }
}

/// Fails unless `outcome` is expected, and each of `others` is not. Only for operations whose
/// outcome is compared before the model follows it.
fn assert_only(model: &mut Model, operation: &Operation, outcome: Outcome, others: &[Outcome]) {
    for other in others {
        assert!(model.judge(operation, other).is_err(), "{other:?}");
    }
    assert_eq!(model.judge(operation, &outcome), Ok(()));
}

#[test]
fn a_region_is_mapped_once() {
    let mut model = with_region(PARAVIRTUAL, true);
    let operation = map(0, Rights::ReadWrite);
    assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
    let again = map(1, Rights::Read);
    let wrong = [Outcome::Error(EFAULT), Outcome::Nothing];
    assert_only(&mut model, &again, Outcome::Error(EINVAL), &wrong);
}

#[test]
fn a_slot_in_use_leaves_nothing_to_do() {
    let mut model = with_region(PARAVIRTUAL, true);
    let operation = map(0, Rights::ReadWrite);
    assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
    assert_only(&mut model, &operation, Outcome::Nothing, &[Outcome::Done]);
}

#[test]
fn a_read_only_grant_is_not_mapped_for_writing() {
    let mut model = with_region(AUTO_TRANSLATED, false);
    let write = map(0, Rights::ReadWrite);
    assert_only(&mut model, &write, Outcome::Error(EINVAL), &[]);
    let read = map(0, Rights::Read);
    assert_only(&mut model, &read, Outcome::Done, &[Outcome::Error(EINVAL)]);
    let protect = Operation::Protect {
        mapping: 0,
        rights: Rights::ReadWrite,
    };
    assert_only(
        &mut model,
        &protect,
        Outcome::Error(EACCES),
        &[Outcome::Error(EINVAL)],
    );
}

#[test]
fn wrong_data_is_found() {
    let mut model = with_region(PARAVIRTUAL, true);
    let operation = map(0, Rights::ReadWrite);
    assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
    let store = Operation::Store {
        mapping: 0,
        at: 5000,
        value: 77,
        by: By::Program,
    };
    let before = model.contents(0).unwrap();
    assert_eq!(model.judge(&store, &Outcome::Done), Ok(()));
    let mut after = before.clone();
    after[5000] = 77;
    let load = Operation::Load {
        mapping: 0,
        by: By::Kernel,
    };
    let wrong = [Outcome::Bytes(before), Outcome::Error(EFAULT)];
    assert_only(&mut model, &load, Outcome::Bytes(after), &wrong);
}

/// The whole region ends together in an auto-translated domain, each page in a paravirtual one.
#[test]
fn a_byte_is_cleared_when_its_page_ends() {
    for (setting, is_early) in [(PARAVIRTUAL, true), (AUTO_TRANSLATED, false)] {
        let mut model = with_region(setting, true);
        let operations = [
            map(0, Rights::ReadWrite),
            Operation::Notify {
                file: 0,
                region: 0,
                at: 4096 + 7,
                action: notify::CLEAR_BYTE,
                open_port: false,
            },
            Operation::Split {
                mapping: 0,
                rest: 1,
                at: 1,
            },
            Operation::Unmap { mapping: 1 },
        ];
        for operation in operations {
            assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        }
        let page = 1;
        let byte = |model: &Model| model.state.grants.read(&[page], 7, 1)[0];
        let before = pattern(3, 4096 + 7);
        assert_eq!(byte(&model), if is_early { 0 } else { before });
        // The file has the region as long as the other page is mapped.
        for operation in [
            Operation::Close { file: 0 },
            Operation::Unmap { mapping: 0 },
        ] {
            assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        }
        assert_eq!(byte(&model), 0);
    }
}

#[test]
fn a_removed_region_is_unknown() {
    let mut model = with_region(PARAVIRTUAL, true);
    let remove = Operation::Remove {
        file: 0,
        region: 0,
        range: Range::Exact,
        any_count: false,
    };
    assert_only(&mut model, &remove, Outcome::Done, &[]);
    assert_only(
        &mut model,
        &remove,
        Outcome::Error(ENOENT),
        &[Outcome::Done],
    );
    let map = map(0, Rights::Read);
    assert_only(&mut model, &map, Outcome::Error(EINVAL), &[Outcome::Done]);
}

#[test]
fn some_domains_do_not_map_their_own_pages() {
    let arm64 = Setting {
        maps_own_grants: true,
        ..AUTO_TRANSLATED
    };
    for (setting, outcome) in [
        (PARAVIRTUAL, Outcome::Done),
        (AUTO_TRANSLATED, Outcome::Error(EOPNOTSUPP)),
        (arm64, Outcome::Done),
    ] {
        let mut model = with_region(setting, true);
        let own = GrantRef {
            domid: DOM0,
            reference: 3,
        };
        let share = Operation::Share {
            share: 0,
            pages: 1,
            writable: true,
            seed: 4,
        };
        assert_eq!(model.judge(&share, &Outcome::Grants(vec![own])), Ok(()));
        let insert = Operation::Insert {
            file: 0,
            region: 0,
            grants: vec![Grant::Of { share: 0, page: 0 }],
        };
        let offset = 2 * PAGE_SIZE as u64;
        assert_only(
            &mut model,
            &insert,
            Outcome::Number(offset),
            &[Outcome::Number(4096)],
        );
        let map = map(0, Rights::Read);
        assert_only(&mut model, &map, outcome, &[Outcome::Error(EINVAL)]);
    }
}

#[test]
fn a_held_buffer_is_not_released() {
    let mut model = with_region(AUTO_TRANSLATED, true);
    let export = Operation::Export {
        file: 0,
        buffer: 2,
        share: 1,
        flags: 0,
        offset: None,
        bad: false,
    };
    let wait = Operation::Wait {
        file: 0,
        buffer: 2,
        long: true,
    };
    let read = Operation::Read { file: 0, length: 8 };
    let close = Operation::CloseBuffer { buffer: 2 };
    let done = [Outcome::Done, Outcome::Error(ENOENT)];
    assert_only(
        &mut model,
        &export,
        Outcome::Number(11),
        &[Outcome::Error(EINVAL)],
    );
    assert_only(&mut model, &wait, Outcome::Error(ETIMEDOUT), &done);
    assert_only(
        &mut model,
        &read,
        Outcome::Error(EAGAIN),
        &[Outcome::Number(1)],
    );
    assert_only(&mut model, &close, Outcome::Done, &[]);
    assert_only(
        &mut model,
        &wait,
        Outcome::Done,
        &[Outcome::Error(ETIMEDOUT)],
    );
    let wrong = [Outcome::Error(EAGAIN), Outcome::Number(2)];
    assert_only(&mut model, &read, Outcome::Number(1), &wrong);
    assert_only(&mut model, &wait, Outcome::Error(ENOENT), &[Outcome::Done]);
}

#[test]
fn the_grants_of_an_ended_share_may_be_refused() {
    let mut model = with_region(PARAVIRTUAL, true);
    for operation in [map(0, Rights::Read), Operation::Unshare { share: 1 }] {
        assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
    }
    let insert = Operation::Insert {
        file: 0,
        region: 0,
        grants: vec![grant(0)],
    };
    assert_eq!(model.judge(&insert, &Outcome::Number(0x2000)), Ok(()));
    assert_eq!(
        model.judge(&map(1, Rights::Read), &Outcome::Error(EINVAL)),
        Ok(())
    );
    assert_eq!(model.judge(&map(1, Rights::Read), &Outcome::Done), Ok(()));
    let load = Operation::Load {
        mapping: 1,
        by: By::Program,
    };
    let bytes = model.contents(1).unwrap();
    assert_only(
        &mut model,
        &load,
        Outcome::Bytes(bytes),
        &[Outcome::Error(EFAULT)],
    );
}

fn export(buffer: usize) -> Operation {
    Operation::Export {
        file: 0,
        buffer,
        share: 1,
        flags: 0,
        offset: None,
        bad: false,
    }
}

#[test]
fn a_file_in_a_socket_keeps_its_regions() {
    let mut model = with_region(PARAVIRTUAL, true);
    let operation = map(0, Rights::ReadWrite);
    let send = Operation::Send {
        sent: Sent::File(0),
    };
    assert_only(&mut model, &send, Outcome::Done, &[]);
    assert_only(&mut model, &operation, Outcome::Nothing, &[Outcome::Done]);
    assert_only(&mut model, &send, Outcome::Nothing, &[Outcome::Done]);
    let receive = Operation::Receive { file: 0, buffer: 0 };
    assert_only(&mut model, &receive, Outcome::Done, &[]);
    let wrong = [Outcome::Error(EINVAL), Outcome::Nothing];
    assert_only(&mut model, &operation, Outcome::Done, &wrong);
}

#[test]
fn a_dma_buf_in_a_socket_is_not_released() {
    let mut model = with_region(PARAVIRTUAL, true);
    let read = Operation::Read { file: 0, length: 8 };
    let send = Operation::Send {
        sent: Sent::Buffer(2),
    };
    let receive = Operation::Receive { file: 1, buffer: 3 };
    let close = Operation::CloseBuffer { buffer: 3 };
    assert_only(&mut model, &export(2), Outcome::Number(11), &[]);
    assert_only(&mut model, &send, Outcome::Done, &[]);
    let one = [Outcome::Number(1)];
    assert_only(&mut model, &read, Outcome::Error(EAGAIN), &one);
    assert_only(&mut model, &receive, Outcome::Number(12), &[]);
    assert_only(&mut model, &close, Outcome::Done, &[]);
    assert_only(&mut model, &read, Outcome::Number(1), &[Outcome::Number(2)]);
}

#[test]
fn an_ended_domain_grants_nothing() {
    let mut model = with_region(PARAVIRTUAL, true);
    let share = Operation::Share {
        share: 1,
        pages: 1,
        writable: true,
        seed: 0,
    };
    let done = [Outcome::Done];
    assert_only(&mut model, &Operation::EndDomu, Outcome::Done, &[]);
    assert_only(&mut model, &Operation::EndDomu, Outcome::Nothing, &done);
    assert_only(&mut model, &share, Outcome::Nothing, &[]);
    let map = map(0, Rights::Read);
    assert_only(&mut model, &map, Outcome::Error(EINVAL), &done);
}

/// A copy of the process has the descriptors, and in an auto-translated domain the mappings.
#[test]
fn a_copy_of_the_process_keeps_its_things() {
    for (setting, is_early) in [(PARAVIRTUAL, true), (AUTO_TRANSLATED, false)] {
        let mut model = with_region(setting, true);
        let notify = Operation::Notify {
            file: 0,
            region: 0,
            at: 7,
            action: notify::CLEAR_BYTE,
            open_port: false,
        };
        assert_eq!(model.judge(&export(2), &Outcome::Number(11)), Ok(()));
        let operations = [
            map(0, Rights::ReadWrite),
            notify,
            Operation::StartChild,
            Operation::Unmap { mapping: 0 },
            Operation::CloseBuffer { buffer: 2 },
        ];
        for operation in operations {
            assert_eq!(model.judge(&operation, &Outcome::Done), Ok(()));
        }
        let byte = |model: &Model| model.state.grants.read(&[0], 7, 1)[0];
        let before = pattern(3, 7);
        assert_eq!(byte(&model), if is_early { 0 } else { before });
        let wait = Operation::Wait {
            file: 0,
            buffer: 2,
            long: true,
        };
        let held = Outcome::Error(ETIMEDOUT);
        assert_only(&mut model, &wait, held, &[Outcome::Done]);

        let close = Operation::Close { file: 0 };
        assert_eq!(model.judge(&close, &Outcome::Done), Ok(()));
        assert_eq!(byte(&model), if is_early { 0 } else { before });
        let killed = Outcome::Ended(End::Signalled(SIGKILL));
        assert_only(&mut model, &Operation::KillChild, killed, &[]);
        assert_eq!(byte(&model), 0);
    }
}
