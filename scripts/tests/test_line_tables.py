# SPDX-License-Identifier: GPL-2.0
"""Objects with line tables: their commands, and the check that their code is that of the kernel."""

import base64
import pathlib
import unittest
import zlib

from xenrust import line_tables
from xenrust.failure import Failure
from xenrust.line_tables import IMAGE, MODULE, Part
from xenrust.object_file import Function, ObjectFile

# Two functions, compiled by clang 19: sample() calls two others, never() calls one.
OBJECT = zlib.decompress(base64.b64decode(
    "eNqrd/VxY2JkZIABRgY7BgQPARYgCTpASXagyuDW/5Wcnb9fgEQ674Op6MNpaXr88i1gVQH/z4MFIw4zEATMDEwYYr"
    "ZALIQkLgqlzYBYAIsZjDjEhaDmKED5XFCaA0qzgO1nYPjzHwL4kcRZkMRVcIgzFKUmplQy6BWl5iTqlaRWlDDkpZal"
    "FjHo5eWXpOq5+4XqFpckJmcz6OXklOXGJ6akFBVnpgM1pZUWpzIUJ+YW5KQy6BWXFJUkJgHpylwQTQ3gAvUXOvCAxm"
    "cIlvBDBjxQMTY0cQcorYUmjh727NBwcmDAbpEHlAsynwkpPiSQaGzpMQuHf9HVaoD87/M/H0g1IIvPYSROvw/UXeig"
    "AEpPQNKHzf0AVrtOFA=="))

BUILD = pathlib.Path("/kernel/build")
COMPILED = pathlib.Path("/objects/x.o")
RUST = Part("drivers/xen/gntdev/x.o", MODULE, "drivers/xen/rust/bindings.rs")
RUST_COMMAND = """\
savedcmd_drivers/xen/gntdev/x.o := OBJTREE=/kernel/build rustc --edition=2021 \
--emit=dep-info=drivers/xen/gntdev/.x.o.d --emit=obj=drivers/xen/gntdev/x.o /k/x.rs \
; ./objtool --orc drivers/xen/gntdev/x.o

source_drivers/xen/gntdev/x.o := /k/x.rs
""".replace("\\\n", "")
C = Part("drivers/xen/rust/x.o", IMAGE)
C_COMMAND = "savedcmd_drivers/xen/events/../rust/x.o := ccache clang " \
    "-Wp,-MMD,drivers/xen/events/../rust/.x.o.d -c -o drivers/xen/events/../rust/x.o /k/x.c\n"


class Commands(unittest.TestCase):
    def test_a_command_of_rustc_gets_line_tables_and_its_bindings(self):
        command = line_tables.command(RUST_COMMAND, RUST, BUILD, COMPILED)
        self.assertIn("XEN_RUST_BINDINGS=/kernel/build/drivers/xen/rust/bindings.rs; ", command)
        self.assertIn(f" rustc {line_tables.RUST_FLAGS} --edition=2021 ", command)
        self.assertIn(" --emit=dep-info=/objects/x.o.d --emit=obj=/objects/x.o /k/x.rs", command)

    def test_the_kernel_s_own_object_is_not_touched(self):
        for kept, part in ((RUST_COMMAND, RUST), (C_COMMAND, C)):
            with self.subTest(part):
                command = line_tables.command(kept, part, BUILD, COMPILED)
                self.assertNotIn("drivers/xen/gntdev/", command)
                self.assertNotIn("drivers/xen/events/", command)

    def test_the_tools_after_the_compiler_work_on_the_new_object(self):
        self.assertIn("; ./objtool --orc /objects/x.o",
                      line_tables.command(RUST_COMMAND, RUST, BUILD, COMPILED))

    def test_a_command_of_clang_gets_line_tables(self):
        self.assertEqual(line_tables.command(C_COMMAND, C, BUILD, COMPILED),
                         f"clang {line_tables.C_FLAG} -Wp,-MMD,/objects/x.o.d -c -o /objects/x.o "
                         "/k/x.c")

    def test_another_compiler_is_a_failure(self):
        for kept, part in ((RUST_COMMAND.replace(" rustc ", " other "), RUST),
                           (C_COMMAND.replace("ccache clang ", "gcc "), C)):
            with self.subTest(part), self.assertRaises(Failure):
                line_tables.command(kept, part, BUILD, COMPILED)

    def test_an_object_without_a_command_is_a_failure(self):
        with self.assertRaises(Failure):
            line_tables.command("", C, BUILD, COMPILED)


class SameCode(unittest.TestCase):
    def test_an_object_has_the_code_of_itself(self):
        line_tables.require_same_code(OBJECT, OBJECT, "x.o")

    def test_one_other_instruction_is_found(self):
        section = next(one for one in ObjectFile(OBJECT).sections if one.name == ".text")
        changed = bytearray(OBJECT)
        changed[section.offset] ^= 1
        with self.assertRaisesRegex(Failure, "x.o has other code"):
            line_tables.require_same_code(OBJECT, bytes(changed), "x.o")


class Objects(unittest.TestCase):
    def test_functions_have_their_places(self):
        text = next(number for number, one in enumerate(ObjectFile(OBJECT).sections)
                    if one.name == ".text")
        self.assertEqual(ObjectFile(OBJECT).functions, [
            Function("sample", text, 0, 21), Function("never", text, 32, 10)])
        self.assertTrue(ObjectFile(OBJECT).sections[text].has_code)

    def test_calls_are_relocated(self):
        text = [one.name for one in ObjectFile(OBJECT).sections].index(".text")
        self.assertEqual(list(ObjectFile(OBJECT).relocated(text)), [(8, 4), (15, 4), (36, 4)])

    def test_a_call_names_the_other_function(self):
        text = [one.name for one in ObjectFile(OBJECT).sections].index(".text")
        self.assertEqual(list(ObjectFile(OBJECT).references(text)),
                         [(8, "refuse"), (15, "ready"), (36, "ready")])

    def test_another_file_is_a_failure(self):
        with self.assertRaises(Failure):
            ObjectFile(b"#!/bin/sh\n")


if __name__ == "__main__":
    unittest.main()
