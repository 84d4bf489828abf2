# SPDX-License-Identifier: GPL-2.0
"""All time limits of the harness. They end work that hangs, and are far longer than any step takes.

Each counts seconds of a `clock.Clock`, which stops while the emulator, or the command, waits for a
processor of the host: other load on the host trips none of them. Guests have limits of their own
in their scripts.

A boot has two: a total, and the longest silence, that is time in which nothing arrived on any port
of the machine. The total ends a guest that repeats itself for ever. The silence ends one that
hangs, busy or idle, sooner.
"""

from dataclasses import dataclass

# No output for so long before init starts: the machine hangs. On a quiet machine nothing there
# takes more than six seconds.
SILENCE_BEFORE_INIT = 90.0
# No output for so long: the processors are looked at, and again after each interval.
SILENCE_BEFORE_LOOK = 60.0
LOOK_INTERVAL = 5.0
# No output for so long under a suite. To save a domU of 4 GiB of addresses is the longest that any
# test is silent: about three minutes.
SILENCE_OF_SUITE = 900.0


@dataclass(frozen=True)
class BootLimits:
    """Limits of one boot, in seconds; None is no limit."""
    total: float | None = 300.0
    silence: float | None = None


# Many times the minutes that a quiet host takes. On a busy host the emulator's threads spin while
# they wait for each other, and the clock counts that time.
SUITE = BootLimits(2400.0, SILENCE_OF_SUITE)
# For the debug kernel, and for Debian's, which is larger and starts a hundred times in some suites.
SLOW_SUITE = BootLimits(4800.0, SILENCE_OF_SUITE)

# Commands on the host.
SHORT_COMMAND = 300.0
CARGO = 1800.0
# A build of Rust metadata, and apt's downloads.
PACKAGE_COMMAND = 3600.0


def suite(kernel: str) -> BootLimits:
    """Limits of a boot with the kernel family KERNEL under a suite."""
    return SUITE if kernel == "dom0" else SLOW_SUITE
