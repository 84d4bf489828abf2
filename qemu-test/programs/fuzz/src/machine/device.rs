// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on open files of the device.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use guest_test::gntdev::Gntdev;
use guest_test::mapping;
use guest_test::readiness::wait_readable;
use xen_grants::grant_copy::End as CopyEnd;
use xen_grants::grant_copy::Segment as RawSegment;

use super::slots::protection;
use super::slots::Slots;
use crate::argument::Grant;
use crate::copy::End;
use crate::copy::Segment;
use crate::model::Model;
use crate::operation::Operation;
use crate::outcome::Outcome;

/// Port that is not open: far above those that a test opens.
const CLOSED_PORT: u32 = 4000;

/// Executes `operation`. Returns `None` if the slots do not hold what it takes.
pub fn execute(slots: &mut Slots, operation: &Operation, model: &mut Model) -> Option<Outcome> {
    if let Operation::Open { file, duplicate } = *operation {
        let known = duplicate.and_then(|slot| slots.files[slot].as_ref());
        let opened = known.map_or_else(Gntdev::open, Gntdev::try_clone);
        return Some(Outcome::done(
            opened.map(|opened| slots.files[file] = Some(opened)),
        ));
    }
    if let Operation::Close { file } = *operation {
        slots.files[file].take()?;
        return Some(Outcome::Done);
    }
    Some(match operation {
        Operation::Insert { file, grants, .. } => {
            let device = slots.files[*file].as_ref()?;
            let grants = grants
                .iter()
                .map(|grant| model.state.grants.resolve(*grant));
            let grants: Vec<_> = grants.collect();
            Outcome::number(if slots.narrow {
                device.insert_32(&grants)
            } else {
                device.insert(&grants)
            })
        }
        Operation::InsertClaiming { file, count } => {
            let device = slots.files[*file].as_ref()?;
            let grant = model.state.grants.resolve(Grant::BeyondTable);
            Outcome::number(device.insert_claiming(*count, &[grant]))
        }
        Operation::Remove {
            file,
            region,
            range,
            any_count,
        } => {
            let device = slots.files[*file].as_ref()?;
            let (index, count) = Model::range(model.state.names[*region]?, *range);
            let count = if *any_count { 0 } else { count as u32 };
            Outcome::done(if slots.narrow {
                device.remove_32(index, count)
            } else {
                device.remove(index, count)
            })
        }
        Operation::Map {
            file,
            region,
            mapping,
            range,
            rights,
            private,
        } => {
            let device = slots.files[*file].as_ref()?;
            let (index, count) = Model::range(model.state.names[*region]?, *range);
            slots.mappings[*mapping].is_none().then_some(())?;
            let protection = protection(*rights);
            let mapped = if *private {
                mapping::private(device.file(), index, count, protection)
            } else {
                device.map(index, count, protection)
            };
            Outcome::done(mapped.map(|mapped| slots.mappings[*mapping] = Some(mapped)))
        }
        Operation::Notify {
            file,
            region,
            at,
            action,
            open_port,
        } => {
            let device = slots.files[*file].as_ref()?;
            let index = model.state.names[*region]?.index + *at as u64;
            let port = if *open_port {
                slots.channel.port()
            } else {
                CLOSED_PORT
            };
            Outcome::done(if slots.narrow {
                device.set_notify_32(index, *action, port)
            } else {
                device.set_notify(index, *action, port)
            })
        }
        Operation::PlaceOf { file, mapping } => {
            let device = slots.files[*file].as_ref()?;
            let mapping = slots.mappings[*mapping].as_ref();
            let address = mapping.map_or(slots.scratch.address(), |mapping| mapping.address());
            let place = if slots.narrow {
                device.place_of_32(address)
            } else {
                device.place_of(address)
            };
            match place {
                Ok(place) => Outcome::Place {
                    offset: place.offset,
                    count: place.count,
                },
                Err(error) => Outcome::failure(&error),
            }
        }
        Operation::Copy { file, segments } => {
            let device = slots.files[*file].as_ref()?;
            let segments = model.scratch.resolve(&model.state, segments);
            let is_narrow = slots.narrow && segments.iter().all(is_possible_in_32_bits);
            let segments: Vec<_> = segments.iter().map(|one| segment(slots, one)).collect();
            let statuses = if is_narrow {
                device.copy_32(&segments)
            } else {
                device.copy(&segments)
            };
            match statuses {
                Ok(statuses) => Outcome::Statuses(statuses),
                Err(error) => Outcome::failure(&error),
            }
        }
        Operation::Read { file, length } => {
            let device = slots.files[*file].as_ref()?;
            let mut bytes = vec![0; *length];
            Outcome::number(device.read(&mut bytes).and_then(|count| {
                let count = bytes[..count].try_into().map_err(io::Error::other)?;
                Ok(u64::from_ne_bytes(count))
            }))
        }
        Operation::Poll { file } => {
            let device = slots.files[*file].as_ref()?;
            Outcome::number(wait_readable(device.as_fd(), Duration::ZERO).map(u64::from))
        }
        Operation::BadArgument {
            file,
            request,
            address,
        } => {
            let device = slots.files[*file].as_ref()?;
            Outcome::done(device.request_at_bad_address(*request, *address))
        }
        _ => return None,
    })
}

/// Returns true if a 32-bit program can name both ends. The kernel maps files at high addresses in
/// this program.
fn is_possible_in_32_bits(segment: &Segment) -> bool {
    [segment.source, segment.destination]
        .iter()
        .all(|end| matches!(end, End::Grant(..) | End::Scratch(_)))
}

fn segment<'a>(slots: &'a Slots, segment: &Segment) -> RawSegment<'a> {
    let end = |end| match end {
        End::Grant(grant, offset) => CopyEnd::Grant(grant, offset),
        End::Scratch(at) => CopyEnd::Local(&slots.scratch, at),
        End::Bad(address) => CopyEnd::Local(address.bytes(), 0),
        End::Mapping(slot, at) => match &slots.mappings[slot] {
            Some(mapping) => CopyEnd::Local(mapping, at),
            None => CopyEnd::Local(&slots.scratch, 0),
        },
    };
    RawSegment {
        source: end(segment.source),
        destination: end(segment.destination),
        length: segment.length,
    }
}
