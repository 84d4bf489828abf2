// SPDX-License-Identifier: GPL-2.0

//! Files, mappings and so on of a process, by slots.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;

use guest_test::compat::LowMemory;
use guest_test::event_channel::Loopback;
use guest_test::gntdev::Gntdev;
use guest_test::mapping::Pipe;
use guest_test::process::Child;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::mapping::Mapping;
use xen_grants::mapping::Protection;
use xen_grants::DOM0;

use crate::argument::Rights;
use crate::argument::Sent;
use crate::operation::BUFFERS;
use crate::operation::FILES;
use crate::operation::MAPPINGS;
use crate::operation::MEMORIES;
use crate::operation::SCRATCH_PAGES;
use crate::setting::Setting;

/// Slots of a process, and the files that its operations need. A process that ends early drops them
/// in this order: a copy of the process, then mappings before the files.
pub struct Slots {
    /// Copy of the process.
    pub child: Option<Child>,
    /// Domains of the run.
    pub setting: Setting,
    /// True while a 32-bit program makes the ioctls.
    pub narrow: bool,
    /// Event channel to send to.
    pub channel: Loopback,
    /// `/proc/self/mem`.
    pub memory: File,
    /// The program's own memory.
    pub scratch: LowMemory,
    /// Mappings of regions and of dma-bufs.
    pub mappings: [Option<Mapping>; MAPPINGS],
    /// Socket that descriptors are sent to.
    pub sender: UnixStream,
    /// Socket that they are received from.
    pub receiver: UnixStream,
    /// Kind of the descriptor in the socket.
    pub sent: Option<Sent>,
    /// Pipe that takes pages of mappings.
    pub pipe: Pipe,
    /// Number of bytes in the pipe.
    pub in_pipe: usize,
    /// Exported dma-bufs.
    pub buffers: [Option<DmaBuf>; BUFFERS],
    /// dma-bufs of the program's own memory.
    pub memories: [Option<DmaBuf>; MEMORIES],
    /// Open files of the device.
    pub files: [Option<Gntdev>; FILES],
}

impl Slots {
    /// Empty slots.
    ///
    /// # Errors
    ///
    /// Those of opening the other files.
    pub fn new(setting: Setting) -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        Ok(Self {
            child: None,
            setting,
            narrow: false,
            channel: Loopback::open(DOM0)?,
            memory: File::options()
                .read(true)
                .write(true)
                .open("/proc/self/mem")?,
            scratch: LowMemory::new(SCRATCH_PAGES)?,
            mappings: [const { None }; MAPPINGS],
            sender,
            receiver,
            sent: None,
            pipe: Pipe::new()?,
            in_pipe: 0,
            buffers: [const { None }; BUFFERS],
            memories: [const { None }; MEMORIES],
            files: [const { None }; FILES],
        })
    }
}

/// Returns the protection that `rights` stand for.
pub fn protection(rights: Rights) -> Protection {
    match rights {
        Rights::None => Protection::None,
        Rights::Read => Protection::Read,
        Rights::ReadWrite => Protection::ReadWrite,
    }
}
