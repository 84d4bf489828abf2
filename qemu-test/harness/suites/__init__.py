# SPDX-License-Identifier: GPL-2.0
"""The suites, one file a family. Each file registers its suites; none imports another except for
parts of its suites."""
