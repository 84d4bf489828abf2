// SPDX-License-Identifier: GPL-2.0

//! A kernel for domains that are made and never run: one page of an ELF file with the notes by
//! which Xen's toolstack knows what it loads.
//!
//! Linux would do as well, but the toolstack unpacks it and copies tens of megabytes for each
//! domain.

/// Physical address that the page is loaded to.
const PHYSICAL: u64 = 1 << 20;

/// Virtual address of physical address 0 in a PV domain.
const VIRTUAL_BASE: u64 = 0xffff_ffff_8000_0000;

/// Size of an ELF header and of a program header.
const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// Offset of the notes, behind the header and two program headers.
const NOTES: u64 = HEADER + 2 * PROGRAM_HEADER;

/// Size of the file and of the page that is loaded from it.
const PAGE: u64 = 4096;

/// Types of Xen's notes, as in `xen/include/public/elfnote.h`.
mod note {
    pub const ENTRY: u32 = 1;
    pub const VIRT_BASE: u32 = 3;
    pub const PADDR_OFFSET: u32 = 4;
    pub const XEN_VERSION: u32 = 5;
    pub const GUEST_OS: u32 = 6;
    pub const LOADER: u32 = 8;
    pub const PAE_MODE: u32 = 9;
    pub const PHYS32_ENTRY: u32 = 18;
}

/// Contents of the file.
pub fn image() -> Vec<u8> {
    let notes = notes();
    let mut image = header();
    image.extend(program_header(ProgramHeader {
        kind: 1, // PT_LOAD
        offset: 0,
        size: PAGE,
    }));
    image.extend(program_header(ProgramHeader {
        kind: 4, // PT_NOTE
        offset: NOTES,
        size: notes.len() as u64,
    }));
    image.extend(notes);
    image.resize(PAGE as usize, 0);
    image
}

fn header() -> Vec<u8> {
    // 64 bits, little-endian, version 1, no particular system.
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    put(&mut header, 2, 2); // ET_EXEC
    put(&mut header, 62, 2); // EM_X86_64
    put(&mut header, 1, 4); // EV_CURRENT
    put(&mut header, VIRTUAL_BASE + PHYSICAL, 8); // entry
    put(&mut header, HEADER, 8); // program headers
    put(&mut header, 0, 8); // no section headers
    put(&mut header, 0, 4); // flags
    put(&mut header, HEADER, 2);
    put(&mut header, PROGRAM_HEADER, 2);
    put(&mut header, 2, 2); // program headers: number
    put(&mut header, 64, 2); // section headers: size
    put(&mut header, 0, 2); // section headers: number
    put(&mut header, 0, 2); // section of names
    header
}

struct ProgramHeader {
    kind: u64,
    offset: u64,
    size: u64,
}

fn program_header(ProgramHeader { kind, offset, size }: ProgramHeader) -> Vec<u8> {
    let mut header = Vec::new();
    put(&mut header, kind, 4);
    put(&mut header, 7, 4); // readable, writable, executable
    put(&mut header, offset, 8);
    put(&mut header, VIRTUAL_BASE + PHYSICAL + offset, 8);
    put(&mut header, PHYSICAL + offset, 8);
    put(&mut header, size, 8); // in the file
    put(&mut header, size, 8); // in memory
    put(&mut header, 4, 8); // alignment
    header
}

fn notes() -> Vec<u8> {
    let entry = VIRTUAL_BASE + PHYSICAL;
    [
        (note::ENTRY, entry.to_le_bytes().to_vec()),
        (note::VIRT_BASE, VIRTUAL_BASE.to_le_bytes().to_vec()),
        (note::PADDR_OFFSET, 0u64.to_le_bytes().to_vec()),
        (note::XEN_VERSION, b"xen-3.0\0".to_vec()),
        (note::GUEST_OS, b"none\0".to_vec()),
        (note::LOADER, b"generic\0".to_vec()),
        (note::PAE_MODE, b"yes\0".to_vec()),
        (note::PHYS32_ENTRY, PHYSICAL.to_le_bytes().to_vec()),
    ]
    .into_iter()
    .flat_map(|(kind, value)| one_note(kind, &value))
    .collect()
}

fn one_note(kind: u32, value: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"Xen\0";
    let mut note = Vec::new();
    put(&mut note, NAME.len() as u64, 4);
    put(&mut note, value.len() as u64, 4);
    put(&mut note, kind.into(), 4);
    note.extend_from_slice(NAME);
    note.extend_from_slice(value);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// Appends the low `bytes` bytes of `value`.
fn put(data: &mut Vec<u8>, value: u64, bytes: usize) {
    data.extend_from_slice(&value.to_le_bytes()[..bytes]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_notes_fit_into_the_page() {
        assert_eq!(header().len() as u64, HEADER);
        let one = ProgramHeader {
            kind: 1,
            offset: 0,
            size: 0,
        };
        assert_eq!(program_header(one).len() as u64, PROGRAM_HEADER);
        assert!(NOTES as usize + notes().len() < PAGE as usize);
        assert_eq!(image().len() as u64, PAGE);
    }

    #[test]
    fn notes_are_aligned() {
        assert_eq!(one_note(note::PAE_MODE, b"yes\0").len(), 20);
        assert_eq!(one_note(note::GUEST_OS, b"none\0").len(), 24);
    }
}
