# SPDX-License-Identifier: GPL-2.0
"""Tells a death of the emulator from a failure of what it ran.

QEMU's software emulation of AMD's virtualization (SVM) is not perfect. Now and then it lets a
guest that runs by it die in one of these ways, with any kernel and with any driver:

  * the hypervisor reports a triple fault of the guest;
  * the processor comes back from a guest to the hypervisor in such a state that the hypervisor's
    next exception is a triple fault: the emulator says so, and the machine resets without a word;
  * the guest's kernel reports a double fault in its entry code;
  * dom0 hangs in its first second, before init starts;
  * a processor halts for ever with interrupts pending;
  * a program's memory is broken; when that hits init, the kernel panics.

A fault of ours could look alike, so a death counts as the emulator's only when nothing points to
us: a guest that runs by SVM is there, no test had failed and no kernel had complained before, no
frame of the driver is in sight, and init's death counts only until the command starts. A test that
fails after its domU has died says nothing of us. The caller repeats such a boot a bounded number
of times, so even a fault of ours that hid behind these rules would show, as soon as it is not rare.
"""

import re
from dataclasses import dataclass

EMULATOR_TRIPLE_FAULT = "triple fault"
EMULATOR_RESET = "triple fault of the hypervisor"
EMULATOR_DOUBLE_FAULT = "double fault in entry code"
EMULATOR_HANG = "hang before init"
EMULATOR_HALT = "halt with interrupts pending"
EMULATOR_BROKEN_INIT = "init killed by broken memory before the command ran"

TRIPLE_FAULT = re.compile(r"\(XEN\) .*\b(d\d+)v\d+ Triple fault", re.IGNORECASE)
DEATH_OF_A_DOMAIN = re.compile(f"{TRIPLE_FAULT.pattern}|Kernel panic - not syncing", re.IGNORECASE)
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
COMPLAINT = re.compile(r"\bBUG: |\bWARNING: |\bOops: |\bkernel BUG at|Kernel panic|"
                       r"general protection fault|\bINFO: |KFENCE|unreferenced object")
# A frame of the driver under test, C or Rust; the mere list of loaded modules says nothing.
DRIVER = re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+ \[xen_gntdev")
INIT_KILLED = re.compile(r"Kernel panic - not syncing: Attempted to kill init!")
FAILED_TEST = re.compile(r" *not ok ")


@dataclass(frozen=True)
class Verdict:
    """How boot ends: kind is "exit", "left", "timeout", "died" or "emulator"."""
    kind: str
    reason: str


def judge(outcome, lines, svm):
    """OUTCOME of a run with the log LINES; SVM tells whether any guest ran by it."""
    if outcome.end in ("left", "timeout"):
        return Verdict(outcome.end, outcome.reason)
    if outcome.end == "exit" and not _died_under_command(outcome, lines):
        return Verdict("exit", outcome.reason)
    death = _emulator_death(outcome, lines) if svm else None
    if death:
        return Verdict("emulator", death)
    return Verdict("exit" if outcome.end == "exit" else "died", outcome.reason)


def _died_under_command(outcome, lines):
    """A command that fails, by its status or by a test in its output, because its domU has died
    is not to blame."""
    texts = iter(lines)
    died = any(TRIPLE_FAULT.search(line.text) for line in texts)
    # What is left of the iterator came after the death.
    return died and (outcome.status != 0 or any(map(_is_failed_test, texts)))


def _is_failed_test(line):
    return line.source == "run" and FAILED_TEST.match(line.text) is not None


def _emulator_death(outcome, lines):
    said = [line for line in lines if line.source in ("xen", "dom0", "domU", "run", "qemu")]
    if any(DRIVER.search(line.text) for line in said if line.source != "run"):
        return None
    for index, line in enumerate(said):
        if line.source == "qemu":
            if HYPERVISOR_TRIPLE_FAULT.fullmatch(line.text):
                return EMULATOR_RESET
            continue
        if HYPERVISOR_ENDS.search(line.text):
            return None
        if line.source == "run":
            if _is_failed_test(line):
                return None
            continue
        fault = TRIPLE_FAULT.search(line.text)
        if fault:
            return f"{EMULATOR_TRIPLE_FAULT} of {'dom0' if fault[1] == 'd0' else 'the domU'}"
        if DOUBLE_FAULT.search(line.text):
            report = [line.text for line in said[index:index + 12]]
            return EMULATOR_DOUBLE_FAULT if _in_entry_code(report) else None
        if INIT_KILLED.search(line.text) and outcome.stage != "run":
            return EMULATOR_BROKEN_INIT
        # Xen's ordinary messages have such words in them, "SLEEP INFO:" for example.
        if COMPLAINT.search(line.text) and line.source != "xen":
            return None
    return {"silent": EMULATOR_HANG, "halted": EMULATOR_HALT}.get(outcome.end)


def _in_entry_code(report):
    for text in report:
        instruction = INSTRUCTION.search(text)
        if instruction:
            return bool(instruction[1] and ENTRY_CODE.fullmatch(instruction[1]))
    return False
