# SPDX-License-Identifier: GPL-2.0
"""Helpers of tests that start processes."""

import pathlib
import time


def has_ended(number):
    """True if there is no process NUMBER, or nobody has asked for its status."""
    try:
        stat = pathlib.Path("/proc", str(number), "stat").read_text()
    except OSError:
        return True
    return ") Z " in stat


# Host seconds after which a test hangs. A busy host takes long for everything.
PATIENCE = 600


def wait_until(condition, seconds=PATIENCE):
    """Wait for CONDITION, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("nothing happened in time")
        time.sleep(0.05)
