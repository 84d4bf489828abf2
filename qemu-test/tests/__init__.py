# SPDX-License-Identifier: GPL-2.0
"""Unit tests of the harness.

`python3 -m unittest discover -t . -s tests` runs them in the folder qemu-test.
"""
