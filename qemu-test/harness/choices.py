# SPDX-License-Identifier: GPL-2.0
"""Choices of a boot that the command line, the suites and the guests call by the same words."""

import enum


class GuestType(enum.StrEnum):
    """Type of a domain."""
    NONE = "none"
    PV = "pv"
    PVH = "pvh"
    # Only a domU can be of this type.
    HVM = "hvm"


class Driver(enum.StrEnum):
    """Driver behind /dev/xen/gntdev: this project's or Linux's own."""
    RUST = "rust"
    C = "c"

    @property
    def module(self) -> str:
        """Name of the driver's module, as its file has it."""
        return {Driver.RUST: "xen_gntdev_rust", Driver.C: "xen-gntdev"}[self]


class EventOperations(enum.StrEnum):
    """Port operations of event channels: RUST and C are for the FIFO ABI."""
    RUST = "rust"
    C = "c"
    TWO_LEVEL = "2-level"

    @property
    def kernel_argument(self) -> str:
        """Argument that asks a kernel for them. A kernel without a choice ignores the first two."""
        return {EventOperations.RUST: "xen.fifo_events_rust=1",
                EventOperations.C: "xen.fifo_events_rust=0",
                EventOperations.TWO_LEVEL: "xen.fifo_events=0"}[self]
