// SPDX-License-Identifier: GPL-2.0

//! A dma-buf on a screen, by DRM's mode setting. This module is there with the feature `display`.
//!
//! It uses the crate [`drm`], which offers much more; [`Card`] implements its traits.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use drm::buffer::Buffer;
use drm::buffer::DrmFourcc;
use drm::buffer::DrmModifier;
use drm::buffer::Handle;
use drm::buffer::PlanarBuffer;
use drm::control::connector;
use drm::control::connector::State;
use drm::control::crtc;
use drm::control::framebuffer;
use drm::control::Device;
use drm::control::FbCmd2Flags;
use drm::control::Mode;
use rustix::fs::OFlags;

use crate::error::Error;
use crate::error::Result;

/// Layout of a picture of four bytes a pixel: blue, green, red and an unused one (XRGB8888).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pixels in a row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub pitch: u32,
}

/// An open graphics card.
///
/// # Examples
///
/// ```no_run
/// use xen_grants::display::{Card, Layout};
/// use xen_grants::grant_dma_buf::Backing;
/// use xen_grants::grant_table::GrantTable;
///
/// # let references = [0; 300];
/// // Domain 3 has drawn a picture into these pages.
/// let layout = Layout { width: 640, height: 480, pitch: 640 * 4 };
/// let table = GrantTable::open()?;
/// let export = table.export(3, &references, Backing::Ordinary)?;
/// let card = Card::open("/dev/dri/card0")?;
/// let output = card.output(640, 480)?;
/// let framebuffer = card.framebuffer(&export, layout)?;
/// card.show(&output, &framebuffer)?;
/// std::thread::sleep(std::time::Duration::from_secs(10));
/// card.switch_off(&output)?;
/// # Ok::<(), xen_grants::Error>(())
/// ```
#[derive(Debug)]
pub struct Card {
    file: File,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl drm::Device for Card {}
impl Device for Card {}

/// A connected display, and a mode for it.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
}

impl Card {
    /// Opens the card. The first process that does so becomes its master and may set modes.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub fn open(path: &str) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        Ok(Self {
            file: file.map_err(|error| Error::new(path.to_string(), error))?,
        })
    }

    /// A connected display that has a mode of this size.
    ///
    /// # Errors
    ///
    /// [`Error::NoDisplay`] if there is none.
    pub fn output(&self, width: u32, height: u32) -> Result<Output> {
        let failed = |error| Error::new("DRM_IOCTL_MODE_GETRESOURCES", error);
        let resources = self.resource_handles().map_err(failed)?;
        for handle in resources.connectors() {
            let connector = self
                .get_connector(*handle, true)
                .map_err(|error| Error::new("DRM_IOCTL_MODE_GETCONNECTOR", error))?;
            if connector.state() != State::Connected {
                continue;
            }
            let mode = connector.modes().iter().find(|mode| {
                let (columns, rows) = mode.size();
                (columns.into(), rows.into()) == (width, height)
            });
            for encoder in connector.encoders() {
                let encoder = self
                    .get_encoder(*encoder)
                    .map_err(|error| Error::new("DRM_IOCTL_MODE_GETENCODER", error))?;
                let crtcs = resources.filter_crtcs(encoder.possible_crtcs());
                if let (Some(mode), Some(crtc)) = (mode, crtcs.first()) {
                    return Ok(Output {
                        connector: *handle,
                        crtc: *crtc,
                        mode: *mode,
                    });
                }
            }
        }
        Err(Error::NoDisplay { width, height })
    }

    /// Imports a dma-buf. Import each once: the card has one handle for all imports of a buffer,
    /// and the first drop ends it.
    ///
    /// # Errors
    ///
    /// Those of the card's driver and of the dma-buf's exporter.
    pub fn import(&self, buffer: impl AsFd) -> Result<CardBuffer<'_>> {
        let handle = self
            .prime_fd_to_buffer(buffer.as_fd())
            .map_err(|error| Error::new("DRM_IOCTL_PRIME_FD_TO_HANDLE", error))?;
        Ok(CardBuffer { card: self, handle })
    }

    /// Makes a buffer of the card's own for a picture of this size, in memory that the processor
    /// can draw into, and returns it with the length of a row in bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the card has not enough memory.
    pub fn create_dumb(&self, width: u32, height: u32) -> Result<(CardBuffer<'_>, u32)> {
        let buffer = self
            .create_dumb_buffer((width, height), DrmFourcc::Xrgb8888, 32)
            .map_err(|error| Error::new("DRM_IOCTL_MODE_CREATE_DUMB", error))?;
        let handle = buffer.handle();
        Ok((CardBuffer { card: self, handle }, buffer.pitch()))
    }

    /// Imports a dma-buf and makes a framebuffer of it. The kernel checks that the picture lies
    /// within the buffer.
    ///
    /// # Errors
    ///
    /// As for [`import`](Self::import); `EINVAL` if the buffer is too small for the layout.
    pub fn framebuffer(&self, buffer: impl AsFd, layout: Layout) -> Result<Framebuffer<'_>> {
        let buffer = self.import(buffer)?;
        let picture = Picture {
            handle: buffer.handle,
            layout,
        };
        let handle = self
            .add_planar_framebuffer(&picture, FbCmd2Flags::empty())
            .map_err(|error| Error::new("DRM_IOCTL_MODE_ADDFB2", error))?;
        Ok(Framebuffer {
            card: self,
            handle,
            _buffer: buffer,
        })
    }

    /// Shows a framebuffer.
    ///
    /// # Errors
    ///
    /// `EACCES` if this process is not the card's master.
    pub fn show(&self, output: &Output, framebuffer: &Framebuffer<'_>) -> Result<()> {
        let connectors = [output.connector];
        self.set(
            output,
            Some(framebuffer.handle),
            &connectors,
            Some(output.mode),
        )
    }

    /// Switches a display off.
    ///
    /// # Errors
    ///
    /// As for [`show`](Self::show).
    pub fn switch_off(&self, output: &Output) -> Result<()> {
        self.set(output, None, &[], None)
    }

    fn set(
        &self,
        output: &Output,
        framebuffer: Option<framebuffer::Handle>,
        connectors: &[connector::Handle],
        mode: Option<Mode>,
    ) -> Result<()> {
        self.set_crtc(output.crtc, framebuffer, (0, 0), connectors, mode)
            .map_err(|error| Error::new("DRM_IOCTL_MODE_SETCRTC", error))
    }
}

/// A buffer that the card uses; dropping it ends that.
#[derive(Debug)]
pub struct CardBuffer<'a> {
    card: &'a Card,
    handle: Handle,
}

impl CardBuffer<'_> {
    /// A dma-buf of the buffer, for reading and writing.
    ///
    /// # Errors
    ///
    /// `ENOSYS` if the driver does not export.
    pub fn export(&self) -> Result<OwnedFd> {
        self.card
            .buffer_to_prime_fd(self.handle, (OFlags::CLOEXEC | OFlags::RDWR).bits())
            .map_err(|error| Error::new("DRM_IOCTL_PRIME_HANDLE_TO_FD", error))
    }
}

impl Drop for CardBuffer<'_> {
    fn drop(&mut self) {
        // If this fails, the kernel frees it when the file of the card is closed.
        let _ = self.card.close_buffer(self.handle);
    }
}

/// A picture that can be shown; dropping it takes it from the screen.
#[derive(Debug)]
pub struct Framebuffer<'a> {
    card: &'a Card,
    handle: framebuffer::Handle,
    /// Ends after the framebuffer.
    _buffer: CardBuffer<'a>,
}

impl Drop for Framebuffer<'_> {
    fn drop(&mut self) {
        // As for `CardBuffer`.
        let _ = self.card.destroy_framebuffer(self.handle);
    }
}

/// A picture in a buffer, in the form that the crate `drm` takes.
struct Picture {
    handle: Handle,
    layout: Layout,
}

impl PlanarBuffer for Picture {
    fn size(&self) -> (u32, u32) {
        (self.layout.width, self.layout.height)
    }

    fn format(&self) -> DrmFourcc {
        DrmFourcc::Xrgb8888
    }

    fn modifier(&self) -> Option<DrmModifier> {
        None
    }

    fn pitches(&self) -> [u32; 4] {
        [self.layout.pitch, 0, 0, 0]
    }

    fn handles(&self) -> [Option<Handle>; 4] {
        [Some(self.handle), None, None, None]
    }

    fn offsets(&self) -> [u32; 4] {
        [0; 4]
    }
}
