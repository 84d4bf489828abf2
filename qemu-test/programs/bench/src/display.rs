// SPDX-License-Identifier: GPL-2.0

//! Ways to bring a frame in granted pages to the screen.

use std::io;
use std::time::Duration;
use std::time::Instant;

use guest_test::gntdev::Gntdev;
use guest_test::processor_time;
use suites::granter::Access;
use suites::granter::Granter;
use suites::granter::Share;
use suites::local::LocalGranter;
use xen_grants::display::Card;
use xen_grants::display::Framebuffer;
use xen_grants::display::Layout;
use xen_grants::display::Output;
use xen_grants::grant_copy::End;
use xen_grants::grant_copy::Segment;
use xen_grants::grant_copy::OKAY;
use xen_grants::mapping::Mapping;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::lines::wait_released;

/// The graphics card.
pub const CARD: &str = "/dev/dri/card0";

const LAYOUT: Layout = Layout {
    width: 640,
    height: 480,
    pitch: 640 * 4,
};

/// Number of pages of a frame.
const PAGES: usize = (LAYOUT.pitch * LAYOUT.height) as usize / PAGE_SIZE;

/// Way to bring a frame to the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The card scans out the granted pages themselves, by a dma-buf that is exported for each
    /// frame.
    DmaBuf,
    /// The same, but the dma-buf was exported and imported before, as for a buffer that a front end
    /// draws into repeatedly.
    KeptDmaBuf,
    /// The pages are copied to memory that the card has imported before.
    Copy,
}

impl Way {
    /// Returns its name in the table, without spaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::DmaBuf => "display-dma-buf",
            Self::KeptDmaBuf => "display-kept",
            Self::Copy => "display-copy",
        }
    }
}

/// Screen, and a frame for it in pages that this domain granted to itself.
pub struct Display<'a> {
    card: &'a Card,
    output: Output,
    /// Picture on the screen between two frames, so that no frame is on it when it is released:
    /// switching the screen off would take longer than everything else.
    resting: Framebuffer<'a>,
    copied: Framebuffer<'a>,
    copy: Mapping,
    kept: Framebuffer<'a>,
    device: Gntdev,
    frame: Share,
    /// Owner of the pages of the frame.
    _granter: LocalGranter,
}

impl<'a> Display<'a> {
    /// Switches the screen of the card on.
    pub fn new(card: &'a Card) -> io::Result<Self> {
        let mut granter = LocalGranter::new(DOM0, DOM0)?;
        let frame = granter.share(PAGES, Access::ReadWrite)?;
        granter.fill(&frame, 1)?;
        let output = card.output(LAYOUT.width, LAYOUT.height)?;
        let (resting, _) = local_framebuffer(card)?;
        let (copied, copy) = local_framebuffer(card)?;
        card.show(&output, &resting)?;
        let kept = {
            // Exported by a file of its own, in which its number is unique. The framebuffer needs
            // neither that file nor the descriptor.
            let exported = Gntdev::open()?.export(0, DOM0, &frame.references())?;
            card.framebuffer(&exported, LAYOUT)?
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

    /// Shows `count` frames and returns the nanoseconds of each, including its release.
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
        let framebuffer = self.card.framebuffer(&exported, LAYOUT)?;
        let prepared = begin.elapsed();

        let shown = self.show_and_rest(&framebuffer)?;

        let begin = Instant::now();
        drop(framebuffer);
        drop(exported);
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

    /// Shows a framebuffer and then the resting picture; only the first is timed.
    fn show_and_rest(&self, framebuffer: &Framebuffer<'_>) -> io::Result<Duration> {
        let shown = self.flip(framebuffer)?;
        self.flip(&self.resting)?;
        Ok(shown)
    }

    /// Shows a framebuffer and returns the processor time for it. Until the next frame of the
    /// screen begins the processor is idle, for a time that depends on the clock of the card only.
    fn flip(&self, framebuffer: &Framebuffer<'_>) -> io::Result<Duration> {
        let begin = processor_time::of_this_thread()?;
        self.card.show(&self.output, framebuffer)?;
        Ok(processor_time::of_this_thread()? - begin)
    }
}

/// Makes a framebuffer in memory of this program, and returns both.
fn local_framebuffer(card: &Card) -> io::Result<(Framebuffer<'_>, Mapping)> {
    let file = MemoryFile::new(PAGES)?;
    let framebuffer = card.framebuffer(&file.dma_buf()?, LAYOUT)?;
    Ok((framebuffer, file.map()?))
}
