# SPDX-License-Identifier: GPL-2.0
"""What it takes to build this project: a Debian build root, a kernel tree, the guest programs."""
