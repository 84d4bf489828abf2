# SPDX-License-Identifier: GPL-2.0
"""Unit tests of the build scripts.

`python3 -m unittest discover -t . -s scripts/tests` runs them.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
