// SPDX-License-Identifier: GPL-2.0

//! A picture that a domU draws, on dom0's screen: a display back end in short.
//!
//! `show-frame draw` runs in the domU, `show-frame scan-out DOMID` in dom0, in any order.

#![forbid(unsafe_code)]

mod picture;

use std::env;
use std::error::Error;
use std::io;
use std::io::Write;
use std::process::Command;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use xen_grants::display::Card;
use xen_grants::display::Layout;
use xen_grants::dma_buf::DmaBuf;
use xen_grants::grant_dma_buf::Backing;
use xen_grants::grant_table::GrantTable;
use xen_grants::handover::Handover;
use xen_grants::memory_file::MemoryFile;
use xen_grants::DOM0;
use xen_grants::PAGE_SIZE;

use crate::picture::Picture;

const NAME: &str = "show-frame";
const CARD: &str = "/dev/dri/card0";
const BYTES_PER_PIXEL: u32 = 4;
/// Time that the granter waits for the other side to come.
const GRANTER_PATIENCE: Duration = Duration::from_secs(300);
/// Time that the other side waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time that the release of a closed dma-buf may take.
const RELEASE: Duration = Duration::from_secs(5);
/// Time that the picture is shown if there is no command to run in the meantime.
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
    let file = MemoryFile::new(bytes.div_ceil(PAGE_SIZE))?;
    let memory = file.map()?;
    for (row, at) in picture.rows().zip((0..).step_by(layout.pitch as usize)) {
        let pixels: Vec<u8> = row.iter().flat_map(|color| color.to_le_bytes()).collect();
        memory.write_all(at, &pixels);
    }

    let table = GrantTable::open()?;
    let buffer = file.dma_buf()?;
    let import = table.import(DOM0, &buffer)?;
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
        width: handover.told("width")?,
        height: handover.told("height")?,
        pitch: handover.told("pitch")?,
    };

    let table = GrantTable::open()?;
    let export = table.export(domid, &references, Backing::Ordinary)?;
    show(&export, layout, || {
        println!(
            "{}x{} pixels in {} pages of domain {domid}, on {CARD}",
            layout.width,
            layout.height,
            references.len()
        );
        run(command)
    })?;

    // The pages are the domU's again when nobody uses the dma-buf any more, which is later than
    // when it is closed here.
    export.close().wait_released(RELEASE)?;
    handover.finish(PATIENCE)?;
    println!("all pages are unmapped and no longer granted");
    Ok(())
}

/// Shows the buffer on the screen while `meanwhile` runs. The kernel undoes what is left if this
/// program fails.
fn show(
    buffer: &DmaBuf,
    layout: Layout,
    meanwhile: impl FnOnce() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let card = Card::open(CARD)?;
    let output = card.output(layout.width, layout.height)?;
    let framebuffer = card.framebuffer(buffer, layout)?;
    card.show(&output, &framebuffer)?;
    meanwhile()?;
    card.switch_off(&output)?;
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
    for color in picture.rows().flatten() {
        let [_, red, green, blue] = color.to_be_bytes();
        bytes.extend([red, green, blue]);
    }
    io::stdout().write_all(&bytes)?;
    Ok(())
}
