// SPDX-License-Identifier: GPL-2.0

//! Shows on dom0's screen what a domU draws: a display back end in short.
//!
//! `show-frame draw` runs in the domU, `show-frame scan-out DOMID` in dom0, in
//! any order.

#![forbid(unsafe_code)]

mod font;
mod picture;

use std::env;
use std::error::Error;
use std::io;
use std::io::Write;
use std::process::Command;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use dmabuf::buffer::DmaBuf;
use dmabuf::drm::Card;
use dmabuf::drm::Layout;
use dmabuf::grant_table::GrantTable;
use dmabuf::handover::Handover;
use dmabuf::memfd::Memory;
use dmabuf::DOM0;
use dmabuf::PAGE_SIZE;
use picture::Picture;

const NAME: &str = "show-frame";
const CARD: &str = "/dev/dri/card0";
const BYTES_PER_PIXEL: u32 = 4;
/// How long the granter waits for somebody to come, and the other side for an
/// answer.
const GRANTER_PATIENCE: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take until nobody uses a closed dma-buf any more.
const RELEASE: Duration = Duration::from_secs(5);
const SHOW: Duration = Duration::from_secs(10);

const USAGE: &str = "\
usage:
  show-frame draw                         in a domU: draw a picture and grant it to dom0
  show-frame scan-out DOMID [COMMAND...]  in dom0: show it while COMMAND runs, or for ten seconds
  show-frame ppm DOMID                    write the picture of domain DOMID as a PPM file";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["draw"] => draw(),
        ["scan-out", domid, ref command @ ..] => scan_out(domid, command),
        ["ppm", domid] => ppm(domid),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("show-frame: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw() -> Result<(), Box<dyn Error>> {
    let handover = Handover::of_granter(NAME)?;
    let picture = Picture::of_domain(handover.own_domid()?);
    let layout = Layout {
        width: picture.width(),
        height: picture.height(),
        pitch: picture.width() * BYTES_PER_PIXEL,
    };
    let bytes = layout.pitch as usize * layout.height as usize;
    let memory = Memory::new(bytes.div_ceil(PAGE_SIZE))?;
    for y in 0..layout.height {
        let row: Vec<u8> = (0..layout.width)
            .flat_map(|x| picture.color(x, y).to_le_bytes())
            .collect();
        memory.write(y as usize * layout.pitch as usize, &row);
    }

    let table = GrantTable::open()?;
    let import = table.import(DOM0, memory.buffer())?;
    println!("show-frame: granted {} pages", import.references().len());
    for (name, value) in [
        ("width", layout.width),
        ("height", layout.height),
        ("pitch", layout.pitch),
    ] {
        handover.tell(name, &value.to_string())?;
    }
    handover.offer(import.references())?;

    handover.wait_until_done(GRANTER_PATIENCE)?;
    import.release()?;
    println!("show-frame: dom0 has let go of all pages, the grants have ended");
    handover.tell_released()?;
    Ok(())
}

fn scan_out(domid: &str, command: &[&str]) -> Result<(), Box<dyn Error>> {
    let domid = domid.parse()?;
    let handover = Handover::with_granter(NAME, domid)?;
    let references = handover.take_offer(PATIENCE)?;
    let layout = Layout {
        width: handover.offered_number("width")?,
        height: handover.offered_number("height")?,
        pitch: handover.offered_number("pitch")?,
    };

    let table = GrantTable::open()?;
    let buffer = table.export(domid, &references)?;
    show(&buffer, layout, || {
        println!(
            "{}x{} pixels in {} pages of domain {domid}, on {CARD}",
            layout.width,
            layout.height,
            references.len()
        );
        run(command)
    })?;

    // The pages are the domU's again when nobody uses the dma-buf any more,
    // which is later than when it is closed here.
    table.wait_released(buffer.close(), RELEASE)?;
    handover.finish(PATIENCE)?;
    println!("all pages are unmapped and no longer granted");
    Ok(())
}

/// Calls `meanwhile` while the buffer is on the screen. Each step is undone in
/// the opposite order, or by the kernel when this program fails.
///
/// The kernel checks that the picture lies within the buffer.
fn show(
    buffer: &DmaBuf,
    layout: Layout,
    meanwhile: impl FnOnce() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let card = Card::open(CARD)?;
    let output = card.output(layout.width, layout.height)?;
    let handle = card.import(buffer)?;
    let framebuffer = card.add_framebuffer(&handle, layout)?;
    card.show(&output, &framebuffer)?;
    meanwhile()?;
    card.switch_off(&output)?;
    card.remove_framebuffer(framebuffer)?;
    card.close_handle(handle)?;
    Ok(())
}

fn run(command: &[&str]) -> Result<(), Box<dyn Error>> {
    let [program, arguments @ ..] = command else {
        thread::sleep(SHOW);
        return Ok(());
    };
    let status = Command::new(program).args(arguments).status();
    match status.map_err(|error| format!("{program}: {error}"))? {
        status if status.success() => Ok(()),
        status => Err(format!("{program}: {status}").into()),
    }
}

fn ppm(domid: &str) -> Result<(), Box<dyn Error>> {
    let picture = Picture::of_domain(domid.parse()?);
    let mut bytes = format!("P6\n{} {}\n255\n", picture.width(), picture.height()).into_bytes();
    for y in 0..picture.height() {
        for x in 0..picture.width() {
            let [_, red, green, blue] = picture.color(x, y).to_be_bytes();
            bytes.extend([red, green, blue]);
        }
    }
    io::stdout().write_all(&bytes)?;
    Ok(())
}
