// SPDX-License-Identifier: GPL-2.0

//! As much of DRM's mode setting as it takes to show a dma-buf on a display.
//!
//! The structures and their fields have the names of the kernel's
//! `include/uapi/drm`.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use crate::buffer::DmaBuf;
use crate::ioctl;
use crate::ioctl::Request;
use crate::named;

const DRM: u8 = b'd';
const DRM_IOCTL_GEM_CLOSE: Request =
    ioctl::to_kernel::<DrmGemClose>("DRM_IOCTL_GEM_CLOSE", DRM, 0x09);
const DRM_IOCTL_PRIME_HANDLE_TO_FD: Request =
    ioctl::both_ways::<DrmPrimeHandle>("DRM_IOCTL_PRIME_HANDLE_TO_FD", DRM, 0x2d);
const DRM_IOCTL_PRIME_FD_TO_HANDLE: Request =
    ioctl::both_ways::<DrmPrimeHandle>("DRM_IOCTL_PRIME_FD_TO_HANDLE", DRM, 0x2e);
const DRM_IOCTL_MODE_GETRESOURCES: Request =
    ioctl::both_ways::<DrmModeCardRes>("DRM_IOCTL_MODE_GETRESOURCES", DRM, 0xa0);
const DRM_IOCTL_MODE_SETCRTC: Request =
    ioctl::both_ways::<DrmModeCrtc>("DRM_IOCTL_MODE_SETCRTC", DRM, 0xa2);
const DRM_IOCTL_MODE_GETENCODER: Request =
    ioctl::both_ways::<DrmModeGetEncoder>("DRM_IOCTL_MODE_GETENCODER", DRM, 0xa6);
const DRM_IOCTL_MODE_GETCONNECTOR: Request =
    ioctl::both_ways::<DrmModeGetConnector>("DRM_IOCTL_MODE_GETCONNECTOR", DRM, 0xa7);
const DRM_IOCTL_MODE_RMFB: Request = ioctl::both_ways::<u32>("DRM_IOCTL_MODE_RMFB", DRM, 0xaf);
const DRM_IOCTL_MODE_CREATE_DUMB: Request =
    ioctl::both_ways::<DrmModeCreateDumb>("DRM_IOCTL_MODE_CREATE_DUMB", DRM, 0xb2);
const DRM_IOCTL_MODE_ADDFB2: Request =
    ioctl::both_ways::<DrmModeFbCmd2>("DRM_IOCTL_MODE_ADDFB2", DRM, 0xb8);

const DRM_MODE_CONNECTED: u32 = 1;
const DRM_CLOEXEC: u32 = 0o2000000;
const DRM_RDWR: u32 = 2;
const DRM_FORMAT_XRGB8888: u32 = u32::from_le_bytes(*b"XR24");

#[repr(C)]
#[derive(Default)]
struct DrmGemClose {
    handle: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct DrmPrimeHandle {
    handle: u32,
    flags: u32,
    fd: i32,
}

#[repr(C)]
#[derive(Default)]
struct DrmModeCardRes {
    fb_id_ptr: u64,
    crtc_id_ptr: u64,
    connector_id_ptr: u64,
    encoder_id_ptr: u64,
    count_fbs: u32,
    count_crtcs: u32,
    count_connectors: u32,
    count_encoders: u32,
    min_width: u32,
    max_width: u32,
    min_height: u32,
    max_height: u32,
}

#[repr(C)]
#[derive(Clone, Default)]
struct DrmModeModeinfo {
    clock: u32,
    hdisplay: u16,
    hsync_start: u16,
    hsync_end: u16,
    htotal: u16,
    hskew: u16,
    vdisplay: u16,
    vsync_start: u16,
    vsync_end: u16,
    vtotal: u16,
    vscan: u16,
    vrefresh: u32,
    flags: u32,
    r#type: u32,
    name: [u8; 32],
}

#[repr(C)]
#[derive(Default)]
struct DrmModeCrtc {
    set_connectors_ptr: u64,
    count_connectors: u32,
    crtc_id: u32,
    fb_id: u32,
    x: u32,
    y: u32,
    gamma_size: u32,
    mode_valid: u32,
    mode: DrmModeModeinfo,
}

#[repr(C)]
#[derive(Default)]
struct DrmModeGetEncoder {
    encoder_id: u32,
    encoder_type: u32,
    crtc_id: u32,
    possible_crtcs: u32,
    possible_clones: u32,
}

#[repr(C)]
#[derive(Default)]
struct DrmModeGetConnector {
    encoders_ptr: u64,
    modes_ptr: u64,
    props_ptr: u64,
    prop_values_ptr: u64,
    count_modes: u32,
    count_props: u32,
    count_encoders: u32,
    encoder_id: u32,
    connector_id: u32,
    connector_type: u32,
    connector_type_id: u32,
    connection: u32,
    mm_width: u32,
    mm_height: u32,
    subpixel: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct DrmModeCreateDumb {
    height: u32,
    width: u32,
    bpp: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
}

#[repr(C)]
#[derive(Default)]
struct DrmModeFbCmd2 {
    fb_id: u32,
    width: u32,
    height: u32,
    pixel_format: u32,
    flags: u32,
    handles: [u32; 4],
    pitches: [u32; 4],
    offsets: [u32; 4],
    modifier: [u64; 4],
}

/// How pixels of four bytes lie in a buffer: blue, green, red and one that
/// nobody looks at (XRGB8888).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub pitch: u32,
}

/// A graphics card whose displays we set.
pub struct Card {
    file: File,
}

/// Where a picture of one size can be shown.
pub struct Output {
    connector: u32,
    crtc: u32,
    mode: DrmModeModeinfo,
}

/// The card's name for a buffer of its own or a dma-buf that it has imported.
pub struct GemHandle(u32);

/// A picture that can be shown.
pub struct Framebuffer(u32);

impl Card {
    /// Opens the card. Who opens it first becomes its master and may set modes.
    pub fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| named(path, error))?;
        Ok(Self { file })
    }

    /// A connected display that has a mode of just this size.
    pub fn output(&self, width: u32, height: u32) -> io::Result<Output> {
        let (crtcs, connectors) = self.resources()?;
        for id in connectors {
            let (encoders, modes) = self.connector(id)?;
            let mode = modes.into_iter().find(|mode| {
                (u32::from(mode.hdisplay), u32::from(mode.vdisplay)) == (width, height)
            });
            if let (Some(mode), Some(crtc)) = (mode, self.crtc_for(&encoders, &crtcs)?) {
                return Ok(Output {
                    connector: id,
                    crtc,
                    mode,
                });
            }
        }
        let message = format!("no connected display can show {width}x{height}");
        Err(io::Error::new(io::ErrorKind::NotFound, message))
    }

    /// The ids of all CRTCs and connectors.
    fn resources(&self) -> io::Result<(Vec<u32>, Vec<u32>)> {
        let mut counts = DrmModeCardRes::default();
        // SAFETY: The argument is what this request wants; with counts of zero
        // nothing is written elsewhere.
        unsafe { self.ioctl(DRM_IOCTL_MODE_GETRESOURCES, &mut counts) }?;
        let mut crtcs = vec![0u32; counts.count_crtcs as usize];
        let mut connectors = vec![0u32; counts.count_connectors as usize];
        let mut argument = DrmModeCardRes {
            crtc_id_ptr: crtcs.as_mut_ptr() as u64,
            connector_id_ptr: connectors.as_mut_ptr() as u64,
            count_crtcs: crtcs.len() as u32,
            count_connectors: connectors.len() as u32,
            ..DrmModeCardRes::default()
        };
        // SAFETY: The argument is what this request wants; both arrays have
        // room for as many ids as it says.
        unsafe { self.ioctl(DRM_IOCTL_MODE_GETRESOURCES, &mut argument) }?;
        crtcs.truncate(argument.count_crtcs as usize);
        connectors.truncate(argument.count_connectors as usize);
        Ok((crtcs, connectors))
    }

    /// The encoders and the modes of a connector: none if nothing is connected.
    fn connector(&self, id: u32) -> io::Result<(Vec<u32>, Vec<DrmModeModeinfo>)> {
        let mut counts = DrmModeGetConnector {
            connector_id: id,
            ..DrmModeGetConnector::default()
        };
        // SAFETY: The argument is what this request wants; with counts of zero
        // nothing is written elsewhere.
        unsafe { self.ioctl(DRM_IOCTL_MODE_GETCONNECTOR, &mut counts) }?;
        if counts.connection != DRM_MODE_CONNECTED {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut encoders = vec![0u32; counts.count_encoders as usize];
        let mut modes = vec![DrmModeModeinfo::default(); counts.count_modes as usize];
        let mut argument = DrmModeGetConnector {
            connector_id: id,
            encoders_ptr: encoders.as_mut_ptr() as u64,
            modes_ptr: modes.as_mut_ptr() as u64,
            count_encoders: encoders.len() as u32,
            count_modes: modes.len() as u32,
            ..DrmModeGetConnector::default()
        };
        // SAFETY: The argument is what this request wants; both arrays have
        // room for as many entries as it says.
        unsafe { self.ioctl(DRM_IOCTL_MODE_GETCONNECTOR, &mut argument) }?;
        encoders.truncate(argument.count_encoders as usize);
        modes.truncate(argument.count_modes as usize);
        Ok((encoders, modes))
    }

    /// A CRTC that one of the encoders can be driven by.
    fn crtc_for(&self, encoders: &[u32], crtcs: &[u32]) -> io::Result<Option<u32>> {
        for encoder_id in encoders {
            let mut argument = DrmModeGetEncoder {
                encoder_id: *encoder_id,
                ..DrmModeGetEncoder::default()
            };
            // SAFETY: The argument is what this request wants, without
            // addresses.
            unsafe { self.ioctl(DRM_IOCTL_MODE_GETENCODER, &mut argument) }?;
            let possible = argument.possible_crtcs;
            let mut suitable = (0..32)
                .zip(crtcs)
                .filter(|(bit, _)| (possible >> bit) & 1 != 0);
            if let Some((_, crtc)) = suitable.next() {
                return Ok(Some(*crtc));
            }
        }
        Ok(None)
    }

    /// Lets the card use a dma-buf.
    pub fn import(&self, buffer: &DmaBuf) -> io::Result<GemHandle> {
        let mut argument = DrmPrimeHandle {
            fd: buffer.as_fd().as_raw_fd(),
            ..DrmPrimeHandle::default()
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_PRIME_FD_TO_HANDLE, &mut argument) }?;
        Ok(GemHandle(argument.handle))
    }

    /// Makes a buffer of the card's own, in memory that the processor can draw
    /// into, and says how many bytes it has.
    pub fn create_dumb(&self, width: u32, height: u32) -> io::Result<(GemHandle, usize)> {
        let mut argument = DrmModeCreateDumb {
            width,
            height,
            bpp: 32,
            ..DrmModeCreateDumb::default()
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_MODE_CREATE_DUMB, &mut argument) }?;
        Ok((GemHandle(argument.handle), argument.size as usize))
    }

    /// Makes a dma-buf of a buffer, to be read and written.
    pub fn export(&self, handle: &GemHandle) -> io::Result<OwnedFd> {
        let mut argument = DrmPrimeHandle {
            handle: handle.0,
            flags: DRM_CLOEXEC | DRM_RDWR,
            fd: -1,
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_PRIME_HANDLE_TO_FD, &mut argument) }?;
        // SAFETY: The card has just opened it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(argument.fd) })
    }

    /// Makes a picture of an imported buffer.
    pub fn add_framebuffer(&self, handle: &GemHandle, layout: Layout) -> io::Result<Framebuffer> {
        let mut argument = DrmModeFbCmd2 {
            width: layout.width,
            height: layout.height,
            pixel_format: DRM_FORMAT_XRGB8888,
            handles: [handle.0, 0, 0, 0],
            pitches: [layout.pitch, 0, 0, 0],
            ..DrmModeFbCmd2::default()
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_MODE_ADDFB2, &mut argument) }?;
        Ok(Framebuffer(argument.fb_id))
    }

    /// Shows a picture.
    pub fn show(&self, output: &Output, framebuffer: &Framebuffer) -> io::Result<()> {
        let connectors = [output.connector];
        let mut argument = DrmModeCrtc {
            set_connectors_ptr: connectors.as_ptr() as u64,
            count_connectors: 1,
            crtc_id: output.crtc,
            fb_id: framebuffer.0,
            mode_valid: 1,
            mode: output.mode.clone(),
            ..DrmModeCrtc::default()
        };
        // SAFETY: The argument is what this request wants, and names an array
        // of one connector.
        unsafe { self.ioctl(DRM_IOCTL_MODE_SETCRTC, &mut argument) }
    }

    /// Shows nothing any more.
    pub fn switch_off(&self, output: &Output) -> io::Result<()> {
        let mut argument = DrmModeCrtc {
            crtc_id: output.crtc,
            ..DrmModeCrtc::default()
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_MODE_SETCRTC, &mut argument) }
    }

    /// Forgets a picture.
    pub fn remove_framebuffer(&self, framebuffer: Framebuffer) -> io::Result<()> {
        let mut argument = framebuffer.0;
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_MODE_RMFB, &mut argument) }
    }

    /// Lets go of a buffer.
    pub fn close_handle(&self, handle: GemHandle) -> io::Result<()> {
        let mut argument = DrmGemClose {
            handle: handle.0,
            pad: 0,
        };
        // SAFETY: The argument is what this request wants, without addresses.
        unsafe { self.ioctl(DRM_IOCTL_GEM_CLOSE, &mut argument) }
    }

    /// # Safety
    ///
    /// As for [`ioctl::call`].
    unsafe fn ioctl<T>(&self, request: Request, argument: &mut T) -> io::Result<()> {
        // SAFETY: Passed on to the caller.
        unsafe { ioctl::call(self.file.as_fd(), request, argument) }?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A request's number contains the size of its structure.
    #[test]
    fn the_requests_have_the_kernel_s_numbers() {
        assert_eq!(DRM_IOCTL_GEM_CLOSE.number, 0x4008_6409);
        assert_eq!(DRM_IOCTL_PRIME_HANDLE_TO_FD.number, 0xc00c_642d);
        assert_eq!(DRM_IOCTL_PRIME_FD_TO_HANDLE.number, 0xc00c_642e);
        assert_eq!(DRM_IOCTL_MODE_GETRESOURCES.number, 0xc040_64a0);
        assert_eq!(DRM_IOCTL_MODE_SETCRTC.number, 0xc068_64a2);
        assert_eq!(DRM_IOCTL_MODE_GETENCODER.number, 0xc014_64a6);
        assert_eq!(DRM_IOCTL_MODE_GETCONNECTOR.number, 0xc050_64a7);
        assert_eq!(DRM_IOCTL_MODE_RMFB.number, 0xc004_64af);
        assert_eq!(DRM_IOCTL_MODE_CREATE_DUMB.number, 0xc020_64b2);
        assert_eq!(DRM_IOCTL_MODE_ADDFB2.number, 0xc068_64b8);
    }
}
