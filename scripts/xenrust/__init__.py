# SPDX-License-Identifier: GPL-2.0
"""Build of this project: a Debian build root, kernels, modules for kernels, guest programs."""
