# SPDX-License-Identifier: GPL-2.0
"""Questions to a machine that has hung, so that its log says where each processor was.

The emulator answers with the registers of its processors. Xen answers on its console with the
registers and the stack of each processor, of each vCPU of dom0, the event channels of all domains,
and the run queues.
"""

from collections.abc import Callable

from .monitor import Monitor

# Host seconds for the answers.
ANSWERS = 5.0

# Xen reads its console itself after three times Ctrl-A, and stops after another three; see its key
# 'h' for the other keys.
XEN_READS = b"\x01\x01\x01"
XEN_KEYS = b"d0er"
# The registers and the stack of each vCPU of dom0.
XEN_STACKS = b"0"


def ask(monitor: Monitor, type_keys: Callable[[bytes], object],
        note: Callable[[str], object]) -> None:
    """Ask through MONITOR, whose answer NOTE takes line by line, and through TYPE_KEYS, which
    writes to the console that a machine's hypervisor reads."""
    def answered(text: str) -> None:
        for line in text.splitlines():
            note(line.rstrip())

    monitor.ask_person("info registers -a", answered)
    type_keys(XEN_KEYS)
