// SPDX-License-Identifier: GPL-2.0

//! Execution of operations on the device.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use guest_test::errno::EFAULT;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::Gntdev;
use guest_test::gntdev::Request;
use guest_test::grant_dma_buf::Import;
use guest_test::mapping;
use guest_test::mapping::MappingCalls;
use guest_test::mapping::Pipe;
use guest_test::process::in_child;
use guest_test::readiness::wait_readable;
use suites::argument;
use suites::granter::Granter;
use suites::granter::Share;
use suites::granter::BEYOND_TABLE;
use suites::local::LocalGranter;
use suites::remote::RemoteGranter;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_copy::End as CopyEnd;
use xen_grants::grant_copy::Segment as RawSegment;
use xen_grants::grant_share::Access;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::copy::End;
use crate::copy::Segment;
use crate::model::Model;
use crate::model::Setting;
use crate::operation::Answering;
use crate::operation::By;
use crate::operation::Grant;
use crate::operation::Operation;
use crate::operation::Rights;
use crate::operation::BUFFERS;
use crate::operation::FILES;
use crate::operation::MAPPINGS;
use crate::operation::MEMORIES;
use crate::operation::SCRATCH_PAGES;
use crate::operation::SHARES;
use crate::outcome::Outcome;

/// Port that is not open: far above those that a test opens.
const CLOSED_PORT: u32 = 4000;

/// Number of no descriptor.
const CLOSED_DESCRIPTOR: u32 = 900;

/// Limit of a wait for the release of a buffer that nobody holds, in milliseconds.
const LONG_WAIT: u32 = 20_000;

/// Files, mappings and so on of a process, by slots.
pub struct Machine {
    setting: Setting,
    own: LocalGranter,
    domu: Option<RemoteGranter>,
    shares: [Option<Share>; SHARES],
    channel: Loopback,
    memory: File,
    scratch: Mapping,
    /// Declared before the files, so that a process that ends early drops them first.
    mappings: [Option<Mapping>; MAPPINGS],
    pipe: Pipe,
    /// Number of bytes in the pipe.
    in_pipe: usize,
    buffers: [Option<DmaBuf>; BUFFERS],
    memories: [Option<DmaBuf>; MEMORIES],
    files: [Option<Gntdev>; FILES],
}

impl Machine {
    /// A machine whose slots are empty.
    ///
    /// # Errors
    ///
    /// Those of the granters, and of opening the other files.
    pub fn new(setting: Setting) -> io::Result<Self> {
        Ok(Self {
            setting,
            own: LocalGranter::new(DOM0, DOM0)?,
            domu: setting.domu.map(RemoteGranter::connect).transpose()?,
            shares: [const { None }; SHARES],
            channel: Loopback::open(DOM0)?,
            memory: File::options()
                .read(true)
                .write(true)
                .open("/proc/self/mem")?,
            scratch: Mapping::anonymous(SCRATCH_PAGES, Protection::ReadWrite)?,
            mappings: [const { None }; MAPPINGS],
            pipe: Pipe::new()?,
            in_pipe: 0,
            buffers: [const { None }; BUFFERS],
            memories: [const { None }; MEMORIES],
            files: [const { None }; FILES],
        })
    }

    /// Executes `operation`. `model` knows the names of regions and buffers, which are not in the
    /// slots.
    ///
    /// # Errors
    ///
    /// Those of the granters: a domU that does not answer is no result of the device.
    pub fn execute(&mut self, operation: &Operation, model: &mut Model) -> io::Result<Outcome> {
        let outcome = match operation {
            Operation::Share { .. }
            | Operation::Unshare { .. }
            | Operation::OwnerRead { .. }
            | Operation::OwnerWrite { .. } => self.ask_owner(operation)?,
            Operation::MakeMemory { .. }
            | Operation::CloseMemory { .. }
            | Operation::Import { .. }
            | Operation::EndImport { .. } => self.import(operation, model)?,
            Operation::ReadOnlyArgument { file, request } => {
                self.send_read_only(*file, *request, model)?
            }
            Operation::Split { .. }
            | Operation::Unmap { .. }
            | Operation::Protect { .. }
            | Operation::Discard { .. }
            | Operation::Relocate { .. }
            | Operation::Grow { .. }
            | Operation::Load { .. }
            | Operation::Store { .. }
            | Operation::Splice { .. }
            | Operation::Drain
            | Operation::Fork { .. } => self.call_on_mapping(operation, model),
            Operation::Export { .. }
            | Operation::CloseBuffer { .. }
            | Operation::MapBuffer { .. }
            | Operation::Wait { .. } => self.call_on_buffer(operation, model),
            _ => self.call_on_file(operation, model),
        };
        Ok(outcome.unwrap_or(Outcome::Nothing))
    }

    /// Returns the granter of the share in slot `slot`.
    fn granter(&mut self, slot: usize) -> &mut dyn Granter {
        let is_own = self.setting.owner(slot) == DOM0;
        match &mut self.domu {
            Some(domu) if !is_own => domu,
            _ => &mut self.own,
        }
    }

    fn ask_owner(&mut self, operation: &Operation) -> io::Result<Option<Outcome>> {
        match *operation {
            Operation::Share {
                share,
                pages,
                writable,
                seed,
            } => {
                if let Some(former) = self.shares[share].take() {
                    self.granter(share).unshare(former)?;
                }
                let access = if writable {
                    Access::ReadWrite
                } else {
                    Access::ReadOnly
                };
                let granter = self.granter(share);
                let shared = granter.share(pages, access)?;
                granter.fill(&shared, seed)?;
                let grants = shared.grants.clone();
                self.shares[share] = Some(shared);
                return Ok(Some(Outcome::Grants(grants)));
            }
            Operation::Unshare { share } => {
                let Some(former) = self.shares[share].take() else {
                    return Ok(None);
                };
                self.granter(share).unshare(former)?;
            }
            Operation::OwnerRead { share, at } => {
                return self.with_share(share, |granter, shared| {
                    let byte = granter.read(shared, at % (shared.pages() * PAGE_SIZE))?;
                    Ok(Outcome::Bytes(vec![byte]))
                });
            }
            Operation::OwnerWrite { share, at, value } => {
                return self.with_share(share, |granter, shared| {
                    granter.write(shared, at % (shared.pages() * PAGE_SIZE), value)?;
                    Ok(Outcome::Done)
                });
            }
            _ => return Ok(None),
        }
        Ok(Some(Outcome::Done))
    }

    fn with_share(
        &mut self,
        slot: usize,
        ask: impl FnOnce(&mut dyn Granter, &Share) -> io::Result<Outcome>,
    ) -> io::Result<Option<Outcome>> {
        let Some(shared) = self.shares[slot].take() else {
            return Ok(None);
        };
        let outcome = ask(self.granter(slot), &shared)?;
        self.shares[slot] = Some(shared);
        Ok(Some(outcome))
    }

    fn call_on_file(&mut self, operation: &Operation, model: &mut Model) -> Option<Outcome> {
        if let Operation::Open { file, duplicate } = *operation {
            let known = duplicate.and_then(|slot| self.files[slot].as_ref());
            let opened = known.map_or_else(Gntdev::open, Gntdev::try_clone);
            return Some(outcome(
                opened.map(|opened| self.files[file] = Some(opened)),
            ));
        }
        if let Operation::Close { file } = *operation {
            self.files[file].take()?;
            return Some(Outcome::Done);
        }
        Some(match operation {
            Operation::Insert { file, grants, .. } => {
                let device = self.files[*file].as_ref()?;
                let grants = grants
                    .iter()
                    .map(|grant| model.state.grants.resolve(*grant));
                number(device.insert(&grants.collect::<Vec<_>>()))
            }
            Operation::InsertClaiming { file, count } => {
                let device = self.files[*file].as_ref()?;
                let grant = model.state.grants.resolve(Grant::BeyondTable);
                number(device.insert_claiming(*count, &[grant]))
            }
            Operation::Remove {
                file,
                region,
                range,
                any_count,
            } => {
                let device = self.files[*file].as_ref()?;
                let (index, count) = Model::range(model.state.names[*region]?, *range);
                let count = if *any_count { 0 } else { count as u32 };
                outcome(device.remove(index, count))
            }
            Operation::Map {
                file,
                region,
                mapping,
                range,
                rights,
                private,
            } => {
                let device = self.files[*file].as_ref()?;
                let (index, count) = Model::range(model.state.names[*region]?, *range);
                self.mappings[*mapping].is_none().then_some(())?;
                let protection = protection(*rights);
                let mapped = if *private {
                    mapping::private(device.file(), index, count, protection)
                } else {
                    device.map(index, count, protection)
                };
                outcome(mapped.map(|mapped| self.mappings[*mapping] = Some(mapped)))
            }
            Operation::Notify {
                file,
                region,
                at,
                action,
                open_port,
            } => {
                let device = self.files[*file].as_ref()?;
                let index = model.state.names[*region]?.index + *at as u64;
                let port = if *open_port {
                    self.channel.port()
                } else {
                    CLOSED_PORT
                };
                outcome(device.set_notify(index, *action, port))
            }
            Operation::PlaceOf { file, mapping } => {
                let device = self.files[*file].as_ref()?;
                let mapping = self.mappings[*mapping].as_ref().unwrap_or(&self.scratch);
                match device.place_of(mapping.address()) {
                    Ok(place) => Outcome::Place {
                        offset: place.offset,
                        count: place.count,
                    },
                    Err(error) => failure(&error),
                }
            }
            Operation::Copy { file, segments } => {
                let device = self.files[*file].as_ref()?;
                let segments = model.scratch.resolve(&model.state, segments);
                let segments: Vec<_> = segments.iter().map(|one| self.segment(one)).collect();
                match device.copy(&segments) {
                    Ok(statuses) => Outcome::Statuses(statuses),
                    Err(error) => failure(&error),
                }
            }
            Operation::Read { file, length } => {
                let device = self.files[*file].as_ref()?;
                let mut bytes = vec![0; *length];
                number(device.read(&mut bytes).and_then(|count| {
                    let count = bytes[..count].try_into().map_err(io::Error::other)?;
                    Ok(u64::from_ne_bytes(count))
                }))
            }
            Operation::Poll { file } => {
                let device = self.files[*file].as_ref()?;
                number(wait_readable(device.as_fd(), Duration::ZERO).map(u64::from))
            }
            Operation::BadArgument {
                file,
                request,
                address,
            } => {
                let device = self.files[*file].as_ref()?;
                outcome(device.request_at_bad_address(*request, *address))
            }
            _ => return None,
        })
    }

    fn segment(&self, segment: &Segment) -> RawSegment<'_> {
        let end = |end| match end {
            End::Grant(grant, offset) => CopyEnd::Grant(grant, offset),
            End::Scratch(at) => CopyEnd::Local(&self.scratch, at),
            End::Bad(address) => CopyEnd::Local(address.bytes(), 0),
            End::Mapping(slot, at) => match &self.mappings[slot] {
                Some(mapping) => CopyEnd::Local(mapping, at),
                None => CopyEnd::Local(&self.scratch, 0),
            },
        };
        RawSegment {
            source: end(segment.source),
            destination: end(segment.destination),
            length: segment.length,
        }
    }

    fn call_on_buffer(&mut self, operation: &Operation, model: &mut Model) -> Option<Outcome> {
        Some(match *operation {
            Operation::Export {
                file,
                buffer,
                share,
                flags,
                offset,
                bad,
            } => {
                let device = self.files[file].as_ref()?;
                let grants = model.state.grants.of_share(share)?;
                let mut references: Vec<u32> = grants.iter().map(|one| one.reference).collect();
                if bad {
                    *references.last_mut()? = BEYOND_TABLE;
                }
                let domid = grants[0].domid;
                self.buffers[buffer] = None;
                let exported = match offset {
                    Some(offset) => device.export_at(offset, flags, domid, &references),
                    None => device.export(flags, domid, &references),
                };
                number(exported.map(|exported| {
                    let number = exported.number();
                    self.buffers[buffer] = Some(exported);
                    number.into()
                }))
            }
            Operation::CloseBuffer { buffer } => {
                self.buffers[buffer].take()?;
                Outcome::Done
            }
            Operation::MapBuffer {
                buffer,
                mapping,
                first,
                pages,
                rights,
                private,
            } => {
                let buffer = self.buffers[buffer].as_ref()?;
                self.mappings[mapping].is_none().then_some(())?;
                let protection = protection(rights);
                let mapped = if private {
                    let offset = (first * PAGE_SIZE) as u64;
                    mapping::private(buffer.as_fd(), offset, pages, protection)
                } else {
                    buffer
                        .map_part(first, pages, protection)
                        .map_err(io::Error::from)
                };
                outcome(mapped.map(|mapped| self.mappings[mapping] = Some(mapped)))
            }
            Operation::Wait { file, buffer, long } => {
                let device = self.files[file].as_ref()?;
                let number = model.state.buffer_names[buffer]?.number;
                let file = model.state.descriptors[file]?;
                let is_long = long && model.ends_soon(file, number);
                let limit = if is_long { LONG_WAIT } else { 0 };
                outcome(device.wait_released(number, limit))
            }
            _ => return None,
        })
    }

    fn import(&mut self, operation: &Operation, model: &Model) -> io::Result<Option<Outcome>> {
        if let Operation::MakeMemory { memory, pages } = *operation {
            self.memories[memory] = None;
            let buffer = MemoryFile::new(pages)?.dma_buf()?;
            let number = buffer.number();
            self.memories[memory] = Some(buffer);
            return Ok(Some(Outcome::Number(number.into())));
        }
        Ok(self.call_on_memory(operation, model))
    }

    fn call_on_memory(&mut self, operation: &Operation, model: &Model) -> Option<Outcome> {
        Some(match *operation {
            Operation::CloseMemory { memory } => {
                self.memories[memory].take()?;
                Outcome::Done
            }
            Operation::Import {
                file,
                memory,
                more,
                wide_domain,
                second_form,
            } => {
                let device = self.files[file].as_ref()?;
                let domid = self.setting.domu.unwrap_or(DOM0);
                let name = model.state.memories[memory].filter(|name| name.open);
                let pages = name.map_or(1, |name| name.pages) as u32;
                let import = Import {
                    number: name.map_or(CLOSED_DESCRIPTOR, |name| name.number),
                    count: pages.wrapping_add_signed(more),
                    domid: domid | u32::from(wide_domain) << 16,
                    reserved: 0,
                };
                let imported = if second_form {
                    device.import_at(&import).map(|(_, references)| references)
                } else {
                    device.import_claiming(&import)
                };
                match imported {
                    Ok(references) => Outcome::References(references),
                    Err(error) => failure(&error),
                }
            }
            Operation::EndImport { file, memory } => {
                let device = self.files[file].as_ref()?;
                let number = model.state.memories[memory]?.number;
                outcome(device.release_import(number))
            }
            _ => return None,
        })
    }

    fn send_read_only(
        &mut self,
        file: usize,
        request: Answering,
        model: &Model,
    ) -> io::Result<Option<Outcome>> {
        let words = read_only_words(request, self.setting, model);
        let (Some(device), Some((request, words))) = (&self.files[file], words) else {
            return Ok(None);
        };
        let memory = argument::read_only(&words)?;
        Ok(Some(outcome(device.request_at(request, &memory, 0))))
    }

    fn call_on_mapping(&mut self, operation: &Operation, model: &Model) -> Option<Outcome> {
        Some(match *operation {
            Operation::Split { mapping, rest, at } => {
                let pages = self.mappings[mapping].as_ref()?.pages();
                let at = at % pages;
                (at != 0 && self.mappings[rest].is_none()).then_some(())?;
                let second = self.mappings[mapping].as_mut()?.split_off(at);
                self.mappings[rest] = Some(second);
                Outcome::Done
            }
            Operation::Unmap { mapping } => {
                let mapping = self.mappings[mapping].take()?;
                outcome(mapping.unmap().map_err(io::Error::from))
            }
            Operation::Protect { mapping, rights } => {
                outcome(self.mappings[mapping].as_ref()?.protect(protection(rights)))
            }
            Operation::Discard { mapping } => outcome(self.mappings[mapping].as_ref()?.discard()),
            Operation::Relocate { mapping } => {
                let moved = self.mappings[mapping].take()?.relocate();
                outcome(moved.map(|moved| self.mappings[mapping] = Some(moved)))
            }
            Operation::Grow { mapping } => outcome(self.mappings[mapping].as_mut()?.grow()),
            Operation::Load { mapping, by } => {
                let by_program = model.is_accessible(mapping, Rights::Read);
                let mapping = self.mappings[mapping].as_ref()?;
                match by {
                    By::Program if by_program => Outcome::Bytes(mapping.read_vec(0, mapping.len())),
                    By::Reference => bytes(read_by_reference(&self.memory, mapping)),
                    By::Program | By::Kernel => bytes(read_by_kernel(mapping)),
                }
            }
            Operation::Store {
                mapping,
                at,
                value,
                by,
            } => {
                let by_program = model.is_accessible(mapping, Rights::ReadWrite);
                let mapping = self.mappings[mapping].as_ref()?;
                let at = at % mapping.len();
                match by {
                    By::Program if by_program => {
                        mapping.write(at, value);
                        Outcome::Done
                    }
                    By::Reference => {
                        let address = (mapping.address() + at) as u64;
                        outcome(self.memory.write_all_at(&[value], address))
                    }
                    By::Program | By::Kernel => outcome(write_by_kernel(mapping, value)),
                }
            }
            Operation::Splice { mapping } => {
                let mapping = self.mappings[mapping].as_ref()?;
                (self.in_pipe == 0).then_some(())?;
                number(self.pipe.take_pages(mapping).map(|count| {
                    self.in_pipe = count;
                    count as u64
                }))
            }
            Operation::Drain => {
                (self.in_pipe != 0).then_some(())?;
                let count = std::mem::take(&mut self.in_pipe);
                bytes(self.pipe.read(count))
            }
            Operation::Fork { mapping } => {
                let expected = model.contents(mapping)?;
                let mapping = self.mappings[mapping].as_ref()?;
                let ended = in_child(|| {
                    assert!(
                        mapping.read_vec(0, mapping.len()) == expected,
                        "other bytes"
                    );
                });
                match ended {
                    Ok(end) => Outcome::Ended(end),
                    Err(error) => failure(&error),
                }
            }
            _ => return None,
        })
    }

    /// Returns the bytes of the scratch memory.
    pub fn scratch(&self) -> Vec<u8> {
        self.scratch.read_vec(0, self.scratch.len())
    }
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

fn protection(rights: Rights) -> Protection {
    match rights {
        Rights::None => Protection::None,
        Rights::Read => Protection::Read,
        Rights::ReadWrite => Protection::ReadWrite,
    }
}

fn failure(error: &io::Error) -> Outcome {
    // An error of the program's own making has no number, and no model expects -1.
    Outcome::Error(error.raw_os_error().unwrap_or(-1))
}

fn outcome(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => failure(&error),
    }
}

fn number(result: io::Result<u64>) -> Outcome {
    match result {
        Ok(number) => Outcome::Number(number),
        Err(error) => failure(&error),
    }
}

fn bytes(result: io::Result<Vec<u8>>) -> Outcome {
    match result {
        Ok(bytes) => Outcome::Bytes(bytes),
        Err(error) => failure(&error),
    }
}

fn read_by_reference(memory: &File, mapping: &Mapping) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; mapping.len()];
    memory.read_exact_at(&mut bytes, mapping.address() as u64)?;
    Ok(bytes)
}

/// Has the kernel copy from `mapping`: to a socket, from which the bytes are read.
fn read_by_kernel(mapping: &Mapping) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = UnixStream::pair()?;
    let count = mapping.write_to(writer.as_fd())?;
    if count != mapping.len() {
        return Err(io::Error::from_raw_os_error(EFAULT));
    }
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Has the kernel copy `value` to the first byte of `mapping`, from a socket.
fn write_by_kernel(mapping: &Mapping, value: u8) -> io::Result<()> {
    let (reader, mut writer) = UnixStream::pair()?;
    writer.write_all(&[value])?;
    match mapping.read_from(reader.as_fd())? {
        1 => Ok(()),
        count => Err(io::Error::other(format!("{count} bytes were read"))),
    }
}
