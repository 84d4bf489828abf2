# SPDX-License-Identifier: GPL-2.0
"""Places that the cache may have."""

import os
import pathlib
import unittest
from unittest import mock

from xenrust import cache
from xenrust.failure import Failure


class Place(unittest.TestCase):
    def made(self, path):
        with mock.patch.dict(os.environ, {"CACHE": path}):
            return cache.Cache()

    def test_by_its_name(self):
        self.assertEqual(self.made("/var/tmp/a-b_c+d").log, pathlib.Path("/var/tmp/a-b_c+d/log"))

    def test_inside_the_checkout(self):
        with self.assertRaisesRegex(Failure, "is inside the checkout"):
            self.made(str(cache.REPOSITORY / "cache"))

    def test_path_that_the_kernels_makefile_refuses(self):
        for path in ("/var/tmp/my cache", "/var/tmp/a:b/cache", "/var/tmp/a\tb"):
            with self.assertRaisesRegex(Failure, f"the cache, '{path}', has .*; CACHE= names"):
                self.made(path)
        with mock.patch.object(cache, "REPOSITORY", pathlib.Path("/opt/a user/linux")), \
                self.assertRaisesRegex(Failure, "the checkout, '/opt/a user/linux', has .*; move"):
            self.made("/var/tmp/cache")


if __name__ == "__main__":
    unittest.main()
