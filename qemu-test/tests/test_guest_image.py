# SPDX-License-Identifier: GPL-2.0
"""The guests' images: the archive format, where added files go, and what they bring along."""

import os
import pathlib
import stat
import struct
import tempfile
import unittest

from harness import architecture, elf, guest_image, newc
from harness.package_folder import PackageFolder
from xenrust.failure import Failure
from xenrust.processor import Processor

X86 = architecture.of(Processor.X86_64)
LIBRARIES = X86.library_folder


def unpack(archive):
    """{name: (mode, data)} of a newc archive, by the format's description."""
    entries, place = {}, 0
    while True:
        assert archive[place:place + 6] == b"070701"
        numbers = [int(archive[at:at + 8], 16) for at in range(place + 6, place + 110, 8)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = archive[place + 110:place + 110 + name_size - 1].decode()
        place += -(-(110 + name_size) // 4) * 4
        if name == "TRAILER!!!":
            return entries
        assert name not in entries
        entries[name] = (mode, archive[place:place + size])
        place += -(-size // 4) * 4


def program(*libraries, interpreter=None, search=None, elf_machine=62):
    """A minimal ELF file: what the loader would read, and no code."""
    strings = b"\0"
    dynamic = b""
    for tag, text in [(elf.DT_NEEDED, name) for name in libraries] + (
            [(elf.DT_RUNPATH, search)] if search else []):
        dynamic += struct.pack("<QQ", tag, len(strings))
        strings += text.encode() + b"\0"
    interp = interpreter.encode() + b"\0" if interpreter else b""
    count = 3 if interpreter else 2
    start = 64 + 56 * count
    strings_at, interp_at = start, start + len(strings)
    dynamic_at = interp_at + len(interp)
    dynamic += struct.pack("<QQQQ", elf.DT_STRTAB, 0x10000 + strings_at, 0, 0)
    total = dynamic_at + len(dynamic)

    def segment(kind, offset, size):
        return struct.pack("<IIQQQQQQ", kind, 0, offset, 0x10000 + offset, 0, size, size, 0)

    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, elf_machine, 1, 0, 64, 0,
                         0, 64, 56, count, 0, 0, 0)
    segments = segment(elf.PT_LOAD, 0, total) + segment(elf.PT_DYNAMIC, dynamic_at, len(dynamic))
    if interpreter:
        segments += segment(elf.PT_INTERP, interp_at, len(interp))
    return header + segments + strings + interp + dynamic


class Elf(unittest.TestCase):
    def test_needs(self):
        data = program("libone.so.1", "libtwo.so", interpreter="/lib64/ld.so", search="/a:$ORIGIN")
        self.assertEqual(elf.needs(data, X86.elf_machine),
                         ("/lib64/ld.so", ["libone.so.1", "libtwo.so"], ["/a", "$ORIGIN"]))

    def test_a_real_program(self):
        needs = elf.needs(pathlib.Path("/bin/sh").resolve().read_bytes(), X86.elf_machine)
        self.assertIn("libc.so.6", needs.libraries)
        self.assertTrue(os.path.exists(needs.interpreter))

    def test_another_machine(self):
        with self.assertRaises(elf.NotForThisMachine):
            elf.needs(program("libc.so.6", elf_machine=183), X86.elf_machine)


class Archive(unittest.TestCase):
    def test_round_trip(self):
        archive = newc.Archive()
        archive.file("a/b/odd", b"12345", 0o755)
        archive.symlink("a/link", "b/odd")
        archive.char_device("dev/console", 5, 1)
        entries = unpack(archive.finish())
        self.assertEqual(entries["a/b/odd"], (stat.S_IFREG | 0o755, b"12345"))
        self.assertEqual(entries["a/link"], (stat.S_IFLNK | 0o777, b"b/odd"))
        self.assertTrue(stat.S_ISCHR(entries["dev/console"][0]))
        self.assertEqual(list(entries), ["a", "a/b", "a/b/odd", "a/link", "dev", "dev/console"])


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.root = self.programs = self.home / "root"
        self.processor = X86
        self.in_root("usr/bin/busybox", b"#!/bin/sh\necho sh\necho ls\n").chmod(0o755)
        for library in guest_image.ALWAYS_LIBRARIES:
            self.in_root(f"{LIBRARIES}/{library}", b"always")
        (self.root / "lib64").symlink_to("usr/lib64")
        (self.root / "bin").symlink_to("usr/bin")
        self.in_root("usr/lib64/ld.so", b"loader")

    def in_root(self, place, data):
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def on_host(self, name, data, executable=False):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o644)
        return path

    def image(self, *additions):
        image = guest_image.Image(PackageFolder(self.root, self.programs), self.processor)
        for addition in additions:
            image.add(*addition)
        return unpack(image.finish())

    def test_packages_whose_programs_do_not_run_here(self):
        self.processor = architecture.of(Processor.ARM64)
        folder = self.processor.library_folder
        for library in guest_image.ALWAYS_LIBRARIES:
            self.in_root(f"{folder}/{library}", program(elf_machine=183))
        self.programs = self.home / "programs"
        names = self.on_host("programs/usr/bin/busybox", b"#!/bin/sh\necho cp\n", True)
        self.in_root("usr/bin/busybox", b"of another processor")
        entries = self.image()
        self.assertTrue(names.exists())
        self.assertEqual(entries["usr/bin/busybox"][1], b"of another processor")
        self.assertEqual(entries["usr/bin/cp"][1], b"busybox")
        self.assertNotIn("usr/bin/ls", entries)
        self.assertIn(f"{folder}/libgcc_s.so.1", entries)
        # No link leads from /lib to the loader.
        self.in_root("usr/lib/ld-linux-aarch64.so.1", b"loader")
        tool = self.on_host("tool", program(interpreter="/lib/ld-linux-aarch64.so.1",
                                            elf_machine=183), True)
        self.assertEqual(self.image((tool,))["usr/lib/ld-linux-aarch64.so.1"][1], b"loader")
        tool = self.on_host("tool", program("libc.so.6"), True)
        self.assertRegex(self.refused((tool,)), "another machine; build it for arm64")

    def test_what_is_always_there(self):
        entries = self.image()
        self.assertEqual(entries["usr/bin/ls"][1], b"busybox")
        self.assertEqual(entries["bin"][1], b"usr/bin")
        self.assertIn(f"{LIBRARIES}/libgcc_s.so.1", entries)

    def test_where_files_go(self):
        tool = self.on_host("tool", b"\x00", executable=True)
        data = self.on_host("data", b"text")
        self.assertEqual(self.image((tool,))["usr/local/bin/tool"][0] & 0o777, 0o755)
        self.assertEqual(self.image((data,))["root/data"], (stat.S_IFREG | 0o644, b"text"))
        self.assertIn("srv/name", self.image((data, "/srv/name")))
        self.assertIn("srv/data", self.image((data, "/srv/")))
        self.assertIn("usr/bin/data", self.image((data, "/bin/data")))

    def test_a_folder(self):
        self.on_host("tree/sub/file", b"x")
        (self.home / "tree/link").symlink_to("sub/file")
        (self.home / "tree/empty").mkdir()
        entries = self.image((self.home / "tree",))
        self.assertEqual(entries["root/tree/sub/file"][1], b"x")
        self.assertEqual(entries["root/tree/link"][1], b"sub/file")
        self.assertTrue(stat.S_ISDIR(entries["root/tree/empty"][0]))

    def test_libraries_come_along_and_theirs_too(self):
        self.in_root(f"{LIBRARIES}/libone.so.1", program("libtwo.so.2"))
        self.in_root(f"{LIBRARIES}/libtwo.so.2.5", b"two")
        (self.root / LIBRARIES / "libtwo.so.2").symlink_to("libtwo.so.2.5")
        tool = self.on_host("tool", program("libone.so.1", interpreter="/lib64/ld.so"), True)
        entries = self.image((tool,))
        self.assertEqual(entries[f"{LIBRARIES}/libtwo.so.2"][1], b"two")
        self.assertEqual(entries["usr/lib64/ld.so"][1], b"loader")

    def test_a_library_beside_the_program_on_the_host(self):
        self.on_host("app/lib/libown.so", b"own")
        tool = self.on_host("app/bin/tool", program("libown.so", search="$ORIGIN/../lib"), True)
        self.assertEqual(self.image((tool,))[f"{LIBRARIES}/libown.so"][1], b"own")

    def test_an_added_library_is_found(self):
        tool = self.on_host("tool", program("libadded.so"), True)
        library = self.on_host("libadded.so", b"added")
        entries = self.image((tool,), (library, f"/{LIBRARIES}/libadded.so"))
        self.assertEqual(entries[f"{LIBRARIES}/libadded.so"][1], b"added")

    def test_the_interpreter_of_a_script_comes_along(self):
        self.in_root("usr/bin/perl", b"perl")
        script = self.on_host("script", b"#!/bin/perl -w\n", True)
        self.assertEqual(self.image((script,))["usr/bin/perl"][1], b"perl")

    def refused(self, *additions):
        with self.assertRaises(Failure) as caught:
            self.image(*additions)
        return str(caught.exception)

    def test_a_missing_library_is_named(self):
        tool = self.on_host("tool", program("libnowhere.so.7"), True)
        self.assertRegex(self.refused((tool,)), "tool needs the library libnowhere.so.7")

    def test_a_missing_file_is_named(self):
        self.assertRegex(self.refused((self.home / "none",)), "none: there is no such file")

    def test_a_missing_interpreter_is_named(self):
        script = self.on_host("script", b"#!/opt/nowhere\n", True)
        self.assertRegex(self.refused((script,)), "/opt/nowhere")

    def test_a_program_of_another_machine(self):
        tool = self.on_host("tool", program("libc.so.6", elf_machine=183), True)
        self.assertRegex(self.refused((tool,)), "tool: it is an ELF file of another machine")
