// SPDX-License-Identifier: GPL-2.0

//! Execution of ioctls whose argument can only be read.

use std::io;

use guest_test::gntdev::Request;
use suites::argument;
use xen_grants::DOM0;

use super::slots::Slots;
use crate::argument::Answering;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::setting::Setting;

/// Makes a request whose answer cannot be written. Returns `None` if the slots do not hold what it
/// takes.
///
/// # Errors
///
/// Those of making the memory of the argument.
pub fn send_read_only(
    slots: &Slots,
    file: usize,
    request: Answering,
    model: &Model,
) -> io::Result<Option<Outcome>> {
    let words = read_only_words(request, slots.setting, model);
    let (Some(device), Some((request, words))) = (&slots.files[file], words) else {
        return Ok(None);
    };
    let memory = argument::read_only(&words)?;
    Ok(Some(Outcome::done(device.request_at(request, &memory, 0))))
}

/// Returns an ioctl and its argument, as 32-bit words.
fn read_only_words(
    request: Answering,
    setting: Setting,
    model: &Model,
) -> Option<(Request, Vec<u32>)> {
    // The device returns a descriptor or an index in words that are 0 here.
    Some(match request {
        Answering::Insert(grant) => {
            let grant = model.state.grants.resolve(grant);
            let words = vec![1, 0, 0, 0, grant.domid, grant.reference];
            (Request::MAP_GRANT_REF, words)
        }
        Answering::Export(share) => {
            let grants = model.state.grants.of_share(share)?;
            let mut words = vec![0, grants.len() as u32, 0, grants[0].domid];
            words.extend(grants.iter().map(|grant| grant.reference));
            (Request::DMABUF_EXPORT, words)
        }
        Answering::Import(memory) => {
            let name = model.state.memories[memory].filter(|name| name.open)?;
            let domid = setting.domu.unwrap_or(DOM0);
            let words = vec![name.number, name.pages as u32, domid, 0];
            (Request::DMABUF_IMPORT, words)
        }
    })
}
