// SPDX-License-Identifier: GPL-2.0

//! How a frame that lies in granted pages comes to the screen.

use std::io;
use std::time::Duration;
use std::time::Instant;

use dmabuf::buffer::DmaBuf;
use dmabuf::drm::Card;
use dmabuf::drm::Framebuffer;
use dmabuf::drm::Layout;
use dmabuf::drm::Output;
use suites::granter::Access;
use suites::granter::Granter;
use suites::granter::Share;
use suites::local::LocalGranter;
use suites::world::DOM0;
use xen_guest::gntdev::Gntdev;
use xen_guest::grant_copy::End;
use xen_guest::grant_copy::Segment;
use xen_guest::grant_copy::OKAY;
use xen_guest::mapping::Mapping;
use xen_guest::memory_file::MemoryFile;
use xen_guest::processor_time;
use xen_guest::PAGE_SIZE;

use crate::lines::wait_released;

const CARD: &str = "/dev/dri/card0";

const LAYOUT: Layout = Layout {
    width: 640,
    height: 480,
    pitch: 640 * 4,
};

/// How many a frame takes.
const PAGES: usize = (LAYOUT.pitch * LAYOUT.height) as usize / PAGE_SIZE;

/// A way to bring a frame to the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The card shows the granted pages themselves, as a dma-buf that is made
    /// for this frame.
    DmaBuf,
    /// The same, but the dma-buf was made and imported before, as that of a
    /// buffer that a front end draws into again and again.
    KeptDmaBuf,
    /// The pages are copied to memory that the card has imported before.
    Copy,
}

impl Way {
    /// Its name in the table, without spaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::DmaBuf => "display-dma-buf",
            Self::KeptDmaBuf => "display-kept",
            Self::Copy => "display-copy",
        }
    }
}

/// A screen, and a frame for it in pages that this domain granted to itself.
pub struct Display {
    card: Card,
    output: Output,
    /// What the screen shows between two frames, so that none is on it when
    /// it is released: to switch the screen off would take longer than all else.
    resting: Framebuffer,
    copied: Framebuffer,
    copy: Mapping,
    kept: Framebuffer,
    device: Gntdev,
    frame: Share,
    /// The frame is this one's.
    _granter: LocalGranter,
}

impl Display {
    /// Switches the screen on.
    pub fn new() -> io::Result<Self> {
        let mut granter = LocalGranter::new(DOM0, DOM0)?;
        let frame = granter.share(PAGES, Access::ReadWrite)?;
        granter.fill(&frame, 1)?;
        let card = Card::open(CARD)?;
        let output = card.output(LAYOUT.width, LAYOUT.height)?;
        let (resting, _) = local_framebuffer(&card)?;
        let (copied, copy) = local_framebuffer(&card)?;
        card.show(&output, &resting)?;
        let kept = {
            // By a file of its own, where its number stands for nothing else. The buffer needs
            // neither that nor its descriptor.
            let exported = Gntdev::open()?.export(0, DOM0, &frame.references())?;
            let handle = card.import(&DmaBuf::new(exported.into(), PAGES))?;
            card.add_framebuffer(&handle, LAYOUT)?
        };
        Ok(Self {
            card,
            output,
            resting,
            copied,
            copy,
            kept,
            device: Gntdev::open()?,
            frame,
            _granter: granter,
        })
    }

    /// Shows `count` frames and returns the nanoseconds that each took, its
    /// release included.
    pub fn measure(&self, way: Way, count: usize) -> io::Result<f64> {
        let mut sum = Duration::ZERO;
        for _ in 0..count {
            sum += match way {
                Way::DmaBuf => self.show_dma_buf()?,
                Way::KeptDmaBuf => self.show_and_rest(&self.kept)?,
                Way::Copy => self.show_copy()?,
            };
        }
        Ok(sum.as_nanos() as f64 / count as f64)
    }

    fn show_dma_buf(&self) -> io::Result<Duration> {
        let references = self.frame.references();
        let begin = Instant::now();
        let exported = self.device.export(0, DOM0, &references)?;
        let number = exported.number();
        let buffer = DmaBuf::new(exported.into(), PAGES);
        let handle = self.card.import(&buffer)?;
        let framebuffer = self.card.add_framebuffer(&handle, LAYOUT)?;
        let prepared = begin.elapsed();

        let shown = self.show_and_rest(&framebuffer)?;

        let begin = Instant::now();
        self.card.remove_framebuffer(framebuffer)?;
        self.card.close_handle(handle)?;
        drop(buffer);
        wait_released(&self.device, number)?;
        Ok(prepared + shown + begin.elapsed())
    }

    fn show_copy(&self) -> io::Result<Duration> {
        let segments: Vec<Segment<'_>> = (0..)
            .zip(&self.frame.grants)
            .map(|(page, grant)| Segment {
                source: End::Grant(*grant, 0),
                destination: End::Local(&self.copy, page * PAGE_SIZE),
                length: PAGE_SIZE as u16,
            })
            .collect();
        let mut prepared = self.device.prepare_copy(&segments);
        let begin = Instant::now();
        prepared.copy()?;
        let copied = begin.elapsed();
        if prepared.statuses().any(|status| status != OKAY) {
            return Err(io::Error::other("a page was not copied"));
        }

        Ok(copied + self.show_and_rest(&self.copied)?)
    }

    /// Shows a framebuffer, of which counts the time, and then another one.
    fn show_and_rest(&self, framebuffer: &Framebuffer) -> io::Result<Duration> {
        let shown = self.flip(framebuffer)?;
        self.flip(&self.resting)?;
        Ok(shown)
    }

    /// Shows a framebuffer and returns how long the processor worked for that.
    /// Until the screen's next frame begins it is idle, for a time that only
    /// the card's clock decides on.
    fn flip(&self, framebuffer: &Framebuffer) -> io::Result<Duration> {
        let begin = processor_time::of_this_thread()?;
        self.card.show(&self.output, framebuffer)?;
        Ok(processor_time::of_this_thread()? - begin)
    }
}

/// A framebuffer in memory of this program's, and that memory.
fn local_framebuffer(card: &Card) -> io::Result<(Framebuffer, Mapping)> {
    let file = MemoryFile::new(PAGES)?;
    let buffer = DmaBuf::new(file.buffer()?.into(), PAGES);
    let handle = card.import(&buffer)?;
    Ok((card.add_framebuffer(&handle, LAYOUT)?, file.map()?))
}
