# SPDX-License-Identifier: GPL-2.0
"""Suites as jobs that run side by side, and one report of their results."""
