# SPDX-License-Identifier: GPL-2.0
"""dom0's wait for the domU, in the shell of the guests."""

import subprocess
import unittest

from xenrust import build_root
from xenrust.cache import REPOSITORY, Cache

from .processes import PATIENCE

SCRIPT = REPOSITORY / "qemu-test" / "guest" / "wait-for-domu.sh"
SHELL = "usr/bin/busybox"

# The tools of the toolstack: a domU is ready when a second event comes, unless a test says else.
TOOLS = """
set -u
DOMU=1
give_up() { echo "gave up: $1"; exit 1; }
xenstore-watch() { echo /local/domain/1/data/ready; echo "$SECOND"; exec sleep 1000; }
xenstore-exists() { [ "${event:-}" = "$READY" ]; }
xl() { echo "$LISTED"; return "$XL_STATUS"; }
"""
# Children that die while the function runs, as orphans of a first process do.
ORPHANS = """
mkfifo() {
    busybox mkfifo "$1"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do true & done
}
"""


class WaitForDomU(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        build_root.ensure(Cache())

    def wait(self, *, second="again", ready="again", listed="", xl_status=0, before="", rounds=1):
        """Output of ROUNDS waits, each in a shell of its own."""
        call = f"{TOOLS}{before}. {SCRIPT}\nwait_for_domu\necho up\n"
        settings = {"SECOND": second, "READY": ready, "LISTED": listed,
                    "XL_STATUS": str(xl_status), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        shell = Cache().build_root / SHELL
        return [subprocess.run([shell, "sh", "-c", call], env=settings, capture_output=True,
                               text=True, check=False, timeout=PATIENCE).stdout
                for _ in range(rounds)]

    def test_the_wait_ends_when_the_domu_is_ready(self):
        self.assertEqual(self.wait(), ["up\n"])

    def test_the_deaths_of_orphans_do_not_end_it(self):
        self.assertEqual(self.wait(before=ORPHANS, rounds=100), ["up\n"] * 100)

    def test_the_death_of_another_domain_does_not_end_it(self):
        shown = self.wait(second="@releaseDomain", ready="@releaseDomain", listed="other")
        self.assertEqual(shown, ["up\n"])

    def test_a_domu_that_has_gone_ends_it(self):
        shown = self.wait(second="@releaseDomain", ready="never", xl_status=1)
        self.assertEqual(shown, ["gave up: the domU ended before it was up\n"])

    def test_a_domu_that_has_crashed_ends_it(self):
        shown = self.wait(second="@releaseDomain", ready="never",
                          listed="domU      1   256     1     ---sc-     0.0")
        self.assertEqual(shown, ["gave up: the domU crashed before it was up\n"])


if __name__ == "__main__":
    unittest.main()
