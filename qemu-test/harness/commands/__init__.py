# SPDX-License-Identifier: GPL-2.0
"""The command lines of the programs in qemu-test."""
