# SPDX-License-Identifier: GPL-2.0
"""The Debian mirror is taken from the host's apt, and only if it is one of Debian's."""

import os
import types
import unittest
from unittest import mock

from xenrust import host

DEBIAN = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
UBUNTU = {"ID": "ubuntu", "VERSION_CODENAME": "noble"}

INDEXED = """http://mirror.example/debian bookworm
http://mirror.example/debian bookworm-updates
http://mirror.example/debian-security bookworm-security
"""

CONFIGURED = """'http://vendor.example/deb/dists/bookworm/InRelease' vendor 0
'http://mirror.example/debian/dists/bookworm/InRelease' debian 0
'http://mirror.example/debian/dists/bookworm-updates/InRelease' updates 0
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' main 0
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' security 0
"""

EXPECTED = ("http://mirror.example/debian", "http://mirror.example/debian-security")


class SitesTest(unittest.TestCase):

    def sites(self, release, indexed="", configured="", environment=None):
        def run(argv, **_options):
            return types.SimpleNamespace(
                stdout=indexed if "indextargets" in argv else configured, returncode=0)

        with mock.patch.object(host, "os_release", return_value=release), \
                mock.patch.object(host.subprocess, "run", run), \
                mock.patch.dict(os.environ, environment or {}):
            if not environment:
                os.environ.pop("MIRROR", None)
            return host.debian_sites()

    def test_indexed_archives(self):
        self.assertEqual(self.sites(DEBIAN, indexed=INDEXED), EXPECTED)

    def test_configured_archives_when_no_index_was_fetched(self):
        self.assertEqual(self.sites(DEBIAN, configured=CONFIGURED), EXPECTED)

    def test_other_distribution(self):
        self.assertEqual(self.sites(UBUNTU, indexed=INDEXED), (None, None))

    def test_nothing_configured(self):
        self.assertEqual(self.sites(DEBIAN), (None, None))

    def test_mirror_of_the_environment(self):
        self.assertEqual(self.sites(UBUNTU, environment={"MIRROR": "http://mine.example/debian/"}),
                         ("http://mine.example/debian", None))


if __name__ == "__main__":
    unittest.main()
