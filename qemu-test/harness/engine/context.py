# SPDX-License-Identifier: GPL-2.0
"""Choices that all suites of a run have in common."""

from dataclasses import dataclass

from xenrust.cache import Cache
from xenrust.processor import Processor

from .. import guest_kernel
from ..choices import Driver, EventOperations
from ..spec import Watched


@dataclass(frozen=True)
class Context:
    """The kernel and the drivers that a run of suites tests."""
    # Kernel by its name in `guest_kernel`.
    config: str
    gntdev: Driver = Driver.RUST
    events: EventOperations = EventOperations.RUST
    processor: Processor = Processor.X86_64
    # Code whose coverage is measured.
    watched: Watched | None = None

    @property
    def cache(self) -> Cache:
        """The cache folder."""
        return Cache()

    @property
    def family(self) -> str:
        """The kernel by the name that all of Debian's kernels share."""
        return "debian" if guest_kernel.is_debian(self.config) else self.config
