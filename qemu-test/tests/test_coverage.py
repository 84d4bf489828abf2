# SPDX-License-Identifier: GPL-2.0
"""Coverage: the emulator's log, the places of modules, and the lines of a small real object."""

import base64
import pathlib
import random
import tempfile
import unittest
import zlib

from harness.coverage import blocks, line_table, placement, report
from harness.coverage.blocks import Block
from harness.coverage.called import called
from harness.coverage.lines import Code, Coverage, total
from harness.coverage.measure import joined
from xenrust.failure import Failure
from xenrust.object_file import SHF_ALLOC, SHF_EXECINSTR, Function, ObjectFile, Section

# A C file, and the outputs of the tools for it: compiled by clang 19 with -O2 -gline-tables-only
# and linked as scripts/xenrust/line_tables.py does.
SOURCE = """\
void ready(int number);
void refuse(int number);

static inline void check(int number)
{
\tif (number < 0)
\t\trefuse(number);
}

void sample(int number)
{
\tcheck(number);
\tready(number);
}

void never(int number)
{
\tready(number - 1);
}
"""
ROWS = """\
Address            Line   Column File   ISA Discriminator OpIndex Flags
------------------ ------ ------ ------ --- ------------- ------- -------------
0x0000000000201120     11      0      1   0             0       0  is_stmt
0x0000000000201121      6     13      1   0             0       0  is_stmt prologue_end
0x0000000000201123      6      6      1   0             0       0
0x0000000000201125      0      6      1   0             0       0
0x0000000000201127      7      3      1   0             0       0  is_stmt
0x000000000020112c      0      3      1   0             0       0
0x000000000020112e     13      2      1   0             0       0  is_stmt
0x0000000000201133     14      1      1   0             0       0  is_stmt epilogue_begin
0x0000000000201140     17      0      1   0             0       0  is_stmt
0x0000000000201141     18     15      1   0             0       0  is_stmt prologue_end
0x0000000000201143     18      2      1   0             0       0
0x0000000000201148     19      1      1   0             0       0  is_stmt epilogue_begin
0x000000000020114a     19      1      1   0             0       0  is_stmt end_sequence
"""
STACKS = """\
/kernel/drivers/xen/rust/sample.c:11:0
/kernel/drivers/xen/rust/sample.c:12:2

/kernel/drivers/xen/rust/sample.c:6:13
/kernel/drivers/xen/rust/sample.c:12:2

/kernel/drivers/xen/rust/sample.c:6:6
/kernel/drivers/xen/rust/sample.c:12:2

/kernel/drivers/xen/rust/sample.c:0:6
/kernel/drivers/xen/rust/sample.c:12:2

/kernel/drivers/xen/rust/sample.c:7:3
/kernel/drivers/xen/rust/sample.c:12:2

/kernel/drivers/xen/rust/sample.c:0:3
/kernel/drivers/xen/rust/sample.c:12:2

/kernel/drivers/xen/rust/sample.c:13:2

/kernel/drivers/xen/rust/sample.c:14:1

/kernel/drivers/xen/rust/sample.c:17:0

/kernel/drivers/xen/rust/sample.c:18:15

/kernel/drivers/xen/rust/sample.c:18:2

/kernel/drivers/xen/rust/sample.c:19:1
"""
DISASSEMBLY = """\
0000000000201120 <sample>:
  201120:       pushq %rbx
  201121:       testl %edi, %edi
  201123:       jns 0x20112e <sample+0xe>
  201125:       movl %edi, %ebx
  201127:       callq 0x0 <refuse>
  20112c:       movl %ebx, %edi
  20112e:       callq 0x0 <refuse>
  201133:       popq %rbx
  201134:       retq
  201135:       nopw %cs:(%rax,%rax)

0000000000201140 <never>:
  201140:       pushq %rax
  201141:       decl %edi
  201143:       callq 0x0 <refuse>
  201148:       popq %rax
  201149:       retq
"""
# The object without its line table.
OBJECT = ObjectFile(zlib.decompress(base64.b64decode(
    "eNqrd/VxY2JkZIABJgY7BgSPgcEBSmswIYtZMLAASTYgyQbksyCpc2BQQKEfQMVhNAeUZoTqQwAFFFoB6ggYzSCA0M"
    "eKLC+ogEJrQZXDaJi+wKclKWwMpIPg1v+VnJ2/X1x5d/9/5/0XZ4FU9OG0ND1++RawfMD/8y92AAUjDvtk5mWnFlkp"
    "uKQmZSbmKfj4uCgYWuoZ6pnjNV8EiIWAvoK5XxQqzotwOgpgxCHODjXHAWoOF0xCryS1ooRBLzk/Nzc1D8goziguKS"
    "pJTAKyYHRlLohmKEpNTKlkyEstSy0CstNKi1MZihNzC3JSGagAGKEYFgfweGNEiy/UaEPxH0ipAZq4F1S/FBb7kGkl"
    "cNrGBBlQBRVQPitUDyydSiC5hxmL/gc43M+IxpfCoZ8L6ihpAvoBs7NGGw==")))

PATH = "drivers/xen/rust/sample.c"
# Lines of check() that only a negative number reaches, and of never().
NEGATIVE, NEVER = 7, [17, 18, 19]
# Blocks of sample() as the emulator cuts them, by offset and end: to the jump, to the first call,
# to the second one, and to the end.
TO_JUMP, TO_REFUSE, TO_READY, TO_END = (0, 5), (5, 12), (14, 19), (19, 21)
# From the first call to the second one.
BACK = (12, 19)


def code():
    """The sample's code, of which nothing has run."""
    spans = list(line_table.spans(ROWS))
    return Code(line_table.rows(spans, STACKS), line_table.jumps(DISASSEMBLY), OBJECT.functions)


def coverage(*ran, function="sample", place=0xffffffffa0001000, size=21):
    """The coverage of the sample after the blocks RAN of a FUNCTION that is loaded to PLACE."""
    measured = code()
    for start, end in ran:
        measured.run(Function(function, 0, place, size), Block(place + start, bytes(end - start)))
    files = {}
    measured.add_to(files)
    return files


class Lines(unittest.TestCase):
    def test_a_line_that_has_not_run_is_uncovered(self):
        one = coverage(TO_JUMP, TO_READY, TO_END)[PATH]
        self.assertEqual(one.uncovered(), [NEGATIVE, *NEVER])
        self.assertEqual(sorted(line for line, has_run in one.lines.items() if has_run),
                         [6, 11, 12, 13, 14])

    def test_a_line_that_was_inlined_is_covered_with_its_function(self):
        one = coverage(TO_JUMP, TO_REFUSE, BACK, TO_END)[PATH]
        self.assertEqual(one.uncovered(), NEVER)

    def test_nothing_is_covered_before_anything_has_run(self):
        self.assertEqual(coverage()[PATH].covered, 0)

    def test_a_part_of_a_function_covers_no_more_than_its_lines(self):
        self.assertEqual(coverage(TO_JUMP)[PATH].uncovered(), [NEGATIVE, 13, 14, *NEVER])

    def test_a_function_of_another_size_is_another_one(self):
        self.assertEqual(coverage(TO_JUMP, size=22)[PATH].covered, 0)
        self.assertEqual(coverage(TO_JUMP, function="another")[PATH].covered, 0)

    def test_each_way_of_a_jump_is_counted(self):
        for ran, ways in (((), 0), ((TO_JUMP,), 0), ((TO_JUMP, TO_READY), 1),
                          ((TO_JUMP, TO_READY, TO_REFUSE), 2), ((TO_READY, TO_REFUSE), 0)):
            with self.subTest(ran):
                one = coverage(*ran)[PATH]
                self.assertEqual((one.ways, one.covered_ways), (2, ways))

    def test_only_sources_of_the_drivers_count(self):
        measured = Code([line_table.Row(range(0x201120, 0x201121), (
            ("/usr/lib/core/option.rs", 1), ("/k/drivers/xen/gntdev/../rust/a/b.rs", 2),
            ("/k/drivers/xen/rust/bindings_generated.rs", 3), ("/k/drivers/xen/rust/a/b.rs", 4),
            ("/k/drivers/xen/manage.c", 5)))], (), OBJECT.functions)
        files = {}
        measured.add_to(files)
        self.assertEqual({path: [*one.lines] for path, one in files.items()},
                         {"drivers/xen/rust/a/b.rs": [4]})

    def test_code_between_two_tables_has_no_row(self):
        tables = ROWS + ROWS.replace("0x0000000000201", "0x0000000000301")
        rows = list(line_table.spans(tables))
        self.assertEqual(len(rows), 24)
        self.assertFalse(any(0x201200 in row for row in rows))

    def test_places_must_be_those_of_all_rows(self):
        with self.assertRaises(Failure):
            list(line_table.rows(list(line_table.spans(ROWS))[1:], STACKS))


class Object:
    """An object with a section of code, a table about functions, and data."""
    sections = [Section(name, 1, SHF_ALLOC, 0, 0, 0, 0, 0, 1)
                for name in (".text", "__mcount_loc", ".rodata")]
    functions = [Function("init_module", 0, 0, 10), Function("_Rused", 0, 10, 10),
                 Function("_Runused", 0, 20, 10), Function("_Rused_by_unused", 0, 30, 10),
                 Function("_Rlocal", 0, 40, 10, is_local=True), Function("_Rin_table", 0, 50, 10),
                 Function("_Rused_by_local", 0, 60, 10)]
    REFERENCES = {0: [(5, "_Rused"), (25, "_Rused_by_unused"), (27, "_Runused"),
                      (45, "_Rused_by_local"), (47, "printk")],
                  1: [(0, one.name) for one in functions],
                  2: [(8, "_Rin_table")]}

    def references(self, number):
        return iter(self.REFERENCES[number])


class Called(unittest.TestCase):
    def test_a_function_without_a_caller_does_not_count(self):
        self.assertEqual([one.name for one in called(Object())],
                         ["init_module", "_Rused", "_Rlocal", "_Rin_table", "_Rused_by_local"])


class Report(unittest.TestCase):
    def test_the_table_has_a_sum(self):
        files = coverage(TO_JUMP, TO_READY, TO_END)
        files["drivers/xen/rust/without_jumps.rs"] = Coverage({1: True})
        lines = list(report.table(files))
        self.assertEqual(lines[1].split(), [PATH, "9", "5", "55.6", "2", "1", "50.0"])
        self.assertEqual(lines[2].split()[1:], ["1", "1", "100.0", "0", "0", "-"])
        self.assertEqual(lines[-1].split(), ["all", "10", "6", "60.0", "2", "1", "50.0"])
        self.assertEqual(total(files)["covered"], 6)

    def test_uncovered_lines_are_shown_with_those_around(self):
        one = coverage(TO_JUMP, TO_READY, TO_END)[PATH]
        lines = list(report.uncovered(PATH, one, SOURCE.splitlines()))
        self.assertEqual(lines[0], f"{PATH}: 4 of 9 lines have not run")
        self.assertIn("+    6 \tif (number < 0)", lines)
        self.assertIn("-    7 \t\trefuse(number);", lines)
        self.assertIn("-   18 \tready(number - 1);", lines)
        self.assertEqual(sum(line.startswith("-") for line in lines), 4)

    def test_nothing_is_shown_of_a_covered_file(self):
        self.assertEqual(list(report.uncovered(PATH, Coverage({1: True}), ["a"])), [])


LOG = """\
CPU Reset (CPU 0)
----------------
IN:
0xffffffff815cd019:  31 db                    xorl     %ebx, %ebx
0xffffffff815cd01b:  41 87 5d 00              xchgl    %ebx, (%r13)

----------------
vmexit(00000081, 0000000000000000, 0000000000000000, ffffffff8176dd00)!
vmrun! 000000007b13b000
IN: somewhere
0xffffffff815cd11f:  48 81 c4 08 01 00 00 48  addq     $8, %rsp
0xffffffff815cd127:  5b c3

qemu-system-x86_64: terminating
""".splitlines()


class Blocks(unittest.TestCase):
    FOUND = {Block(0xffffffff815cd019, bytes.fromhex("31db41875d00")),
             Block(0xffffffff815cd11f, bytes.fromhex("4881c408010000485bc3"))}

    def test_each_block_is_kept_once(self):
        reader = blocks.Reader()
        for line in LOG + LOG:
            reader.take(line)
        self.assertEqual(reader.blocks(), self.FOUND)

    def test_other_lines_are_left_to_the_log(self):
        reader = blocks.Reader()
        self.assertEqual([line for line in LOG if not reader.take(line)], [LOG[0], LOG[-1]])

    def test_a_block_whose_end_was_not_logged_counts(self):
        reader = blocks.Reader()
        for line in LOG[1:4]:
            reader.take(line)
        self.assertEqual(reader.blocks(), {Block(0xffffffff815cd019, b"\x31\xdb")})

    def test_a_file_keeps_them_for_each_boot(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            blocks.write(folder / f"boot-1{blocks.SUFFIX}", self.FOUND)
            blocks.write(folder / f"boot-2{blocks.SUFFIX}", ())
            self.assertEqual(list(blocks.read(folder)), [self.FOUND, set()])


class Module:
    """A module of two sections with code, of which nothing repeats. One address in the code is only
    known after it was loaded."""

    CODE = random.Random(1).randbytes(3 * 4096)
    START = random.Random(2).randbytes(400)
    UNKNOWN = (5010, 8)

    def __init__(self):
        flags = SHF_ALLOC | SHF_EXECINSTR
        self.sections = [Section(name, 1, flags, 0, 0, size, 0, 0, 16)
                         for name, size in ((".text", len(self.CODE)),
                                            (".init.text", len(self.START)))]
        self.functions = [Function("first", 0, 0, 4096), Function("second", 0, 4096, 8192),
                          Function("start", 1, 0, 400)]

    def content(self, section):
        """The bytes of SECTION."""
        return {".text": self.CODE, ".init.text": self.START}[section.name]

    def relocated(self, number):
        """The place that a relocation changes."""
        return [self.UNKNOWN] if number == 0 else []


class Placement(unittest.TestCase):
    MODULE = Module()
    PLACE, START_PLACE = 0xffffffffa0042000, 0xffffffffa0100000

    def run_at(self, place, offsets, size=16, code=Module.CODE):
        """Blocks of the module that is loaded to PLACE."""
        return {Block(place + offset, code[offset:offset + size]) for offset in offsets}

    def found(self, *boots):
        """Functions and offsets of the blocks that are found."""
        return {(function.name, block.start)
                for function, block in placement.module_blocks(self.MODULE, boots)}

    def test_functions_are_found_in_each_guest(self):
        offsets = range(0, 4000, 100)
        boot = self.run_at(self.PLACE, offsets) | self.run_at(self.PLACE + 4096 * 9, [*offsets, 8])
        self.assertEqual(self.found(boot), {("first", offset) for offset in (*offsets, 8)})

    def test_each_boot_has_places_of_its_own(self):
        enough = self.run_at(self.PLACE, range(0, 4000, 100))
        self.assertEqual(len(self.found(enough, self.run_at(self.PLACE, [5000]))), 40)
        self.assertIn(("second", 5000), self.found(enough | self.run_at(self.PLACE, [5000])))

    def test_the_code_of_the_start_is_found_as_well(self):
        boot = self.run_at(self.START_PLACE, range(0, 300, 20), code=Module.START)
        self.assertEqual(self.found(boot), {("start", offset) for offset in range(0, 300, 20)})

    def test_another_module_is_not_taken_for_it(self):
        other = random.Random(3).randbytes(3 * 4096)
        boot = self.run_at(self.PLACE, range(0, 12000, 16), code=other)
        self.assertEqual(self.found(boot), set())
        both = boot | self.run_at(self.PLACE, range(8, 4000, 100))
        self.assertEqual(self.found(both), {("first", offset) for offset in range(8, 4000, 100)})

    def test_few_equal_functions_prove_no_place(self):
        self.assertEqual(self.found(self.run_at(self.PLACE, (0, 100, 200))), set())

    def test_short_blocks_prove_no_place(self):
        self.assertEqual(self.found(self.run_at(self.PLACE, range(0, 4000, 10), size=4)), set())

    def test_an_address_in_the_code_may_be_any(self):
        enough = self.run_at(self.PLACE, range(0, 4000, 100))
        start, size = Module.UNKNOWN
        loaded = Module.CODE[start - 4:start] + bytes(size) + Module.CODE[start + size:start + 20]
        self.assertIn(("second", start - 4),
                      self.found(enough | {Block(self.PLACE + start - 4, loaded)}))

    def test_a_replaced_instruction_does_not_hide_its_block(self):
        enough = self.run_at(self.PLACE, range(0, 4000, 100))
        patched = bytes(5) + Module.CODE[6005:6020]
        self.assertIn(("second", 6000), self.found(enough | {Block(self.PLACE + 6000, patched)}))


class Places(unittest.TestCase):
    def test_near_functions_are_one_place(self):
        self.assertEqual(joined([(5000, 10), (100, 50), (160, 40)]), [(100, 100), (5000, 10)])


if __name__ == "__main__":
    unittest.main()
