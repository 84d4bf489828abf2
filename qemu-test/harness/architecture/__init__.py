# SPDX-License-Identifier: GPL-2.0
"""Emulated machines, by the processor that they have: one folder or file for each."""

from xenrust.processor import Processor

from .arm64 import Arm64
from .base import Architecture
from .x86 import X86

ARCHITECTURES: dict[Processor, Architecture] = {Processor.X86_64: X86(), Processor.ARM64: Arm64()}


def of(processor: Processor) -> Architecture:
    """Everything that depends on PROCESSOR."""
    return ARCHITECTURES[processor]
