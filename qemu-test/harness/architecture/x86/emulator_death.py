# SPDX-License-Identifier: GPL-2.0
"""Deaths of the emulator, told from failures of the software in it.

QEMU's software emulation of AMD's virtualization (SVM) is not perfect. Now and then it lets a
guest that runs by it die in one of these ways, with any kernel and with any driver:

  * the hypervisor reports a triple fault of the guest;
  * the processor comes back from a guest to the hypervisor in such a state that the hypervisor's
    next exception is a triple fault: the emulator says so, and the machine resets without a word;
  * the guest's kernel reports a double fault in its entry code;
  * dom0 hangs in its first second, before init starts;
  * a processor halts for ever with interrupts pending;
  * a guest takes an interrupt that it has disabled, and hangs;
  * a program's memory is broken; when that hits init, the kernel panics.

A fault of ours could look alike, so a death counts as the emulator's only when nothing points to
us: a guest that runs by SVM is there, no test had failed and no kernel had complained before, no
frame of the driver is in sight, and init's death counts only until the command starts.
"""

import re

from ... import log_check
from ...boot_log import Line, Lines, Source
from ...ending import RUN, MachineEnd, MachineRun
from ...ktap import is_failed_test
from . import nested_interrupt

EMULATOR_TRIPLE_FAULT = "triple fault"
EMULATOR_RESET = "triple fault of the hypervisor"
EMULATOR_DOUBLE_FAULT = "double fault in entry code"
EMULATOR_HANG = "hang before init"
EMULATOR_HALT = "halt with interrupts pending"
EMULATOR_NESTED_INTERRUPT = "interrupt taken while disabled"
EMULATOR_BROKEN_INIT = "init killed by broken memory before the command ran"

TRIPLE_FAULT = re.compile(r"\(XEN\) .*\b(d\d+)v\d+ Triple fault", re.IGNORECASE)
# The emulator's own words, which it has for no guest's triple fault. After one of Xen's own ends
# they mean only that this is how Xen resets a machine.
HYPERVISOR_TRIPLE_FAULT = re.compile(r"Triple fault")
HYPERVISOR_ENDS = re.compile(r"\(XEN\) .*(Hardware Dom0|Panic on CPU)")
DOUBLE_FAULT = re.compile(r"traps: PANIC: double fault|Oops: double fault|"
                          r"\bdouble fault: 0000|Kernel panic.*double fault", re.IGNORECASE)
INSTRUCTION = re.compile(r"\bRIP: 0010:(?:0x[0-9a-f]+|([\w.]+)\+0x)")
# The code between user space, interrupts and the kernel's C code, where a lost GS base shows.
ENTRY_CODE = re.compile(r"(asm_(exc|sysvec|common|spurious)\w*|entry_\w+|xen_entry_\w+|error_\w+|"
                        r"paranoid_\w+|common_interrupt_return|irq_entries_start\w*|"
                        r"(swapgs|native_irq|restore_regs|sync_regs|fixup_bad_iret)\w*|"
                        r"__switch_to_asm|ret_from_fork\w*|exc_double_fault|rewind_stack\w*)")
# Words of a kernel, also within a line, besides the titles of reports that `log_check` knows.
COMPLAINT = re.compile(r"\bkernel BUG at|Kernel panic|general protection fault|\bINFO: |KFENCE|"
                       r"unreferenced object")
# A frame of the driver under test, C or Rust; the mere list of loaded modules says nothing.
DRIVER = re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+ \[xen_gntdev")
INIT_KILLED = re.compile(r"Kernel panic - not syncing: Attempted to kill init!")


def find(run: MachineRun, lines: Lines,
         entries: nested_interrupt.Entries | None = None) -> str | None:
    """Name of the emulator's fault that ended RUN, a machine with guests that run by SVM; None if
    anything else may have ended it. ENTRIES are those of the guests' kernel."""
    said = [line for line in lines if line.source != Source.BOOT]
    if any(DRIVER.search(line.text) for line in said if line.source != Source.RUN):
        return None
    if entries and nested_interrupt.is_seen(said, entries):
        return None if any(map(_is_fault, said)) else EMULATOR_NESTED_INTERRUPT
    if run.end == MachineEnd.TIMEOUT:
        return None
    for index, line in enumerate(said):
        if line.source == Source.QEMU:
            if HYPERVISOR_TRIPLE_FAULT.fullmatch(line.text):
                return EMULATOR_RESET
            continue
        if HYPERVISOR_ENDS.search(line.text):
            return None
        if line.source == Source.RUN:
            if is_failed_test(line.text):
                return None
            continue
        fault = TRIPLE_FAULT.search(line.text)
        if fault:
            return f"{EMULATOR_TRIPLE_FAULT} of {'dom0' if fault[1] == 'd0' else 'the domU'}"
        if DOUBLE_FAULT.search(line.text):
            report = [line.text for line in said[index:index + 12]]
            return EMULATOR_DOUBLE_FAULT if _in_entry_code(report) else None
        if INIT_KILLED.search(line.text) and run.stage != RUN:
            return EMULATOR_BROKEN_INIT
        # A new boot would hide the complaint: only the log of the last one is searched.
        if _is_complaint(line):
            return None
    return {MachineEnd.SILENT: EMULATOR_HANG, MachineEnd.HALTED: EMULATOR_HALT}.get(run.end)


def _is_fault(line: Line) -> bool:
    """True for a test that failed, and for the complaint of a kernel."""
    return is_failed_test(line.text) if line.source == Source.RUN else _is_complaint(line)


def _is_complaint(line: Line) -> bool:
    # Xen's ordinary messages have such words in them, "SLEEP INFO:" for example.
    return log_check.is_title(line) or (
        line.source != Source.XEN and COMPLAINT.search(line.text) is not None)


def _in_entry_code(report: list[str]) -> bool:
    for text in report:
        instruction = INSTRUCTION.search(text)
        if instruction:
            return bool(instruction[1] and ENTRY_CODE.fullmatch(instruction[1]))
    return False
