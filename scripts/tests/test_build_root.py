# SPDX-License-Identifier: GPL-2.0
"""Commands in the build root behave as they would outside, and leave nothing behind."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from xenrust import build_root
from xenrust.cache import REPOSITORY, Cache

IN_BUILD_ROOT = str(REPOSITORY / "scripts" / "in-build-root")


class InBuildRootTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        build_root.ensure(Cache())

    def run_in_root(self, *argv, **options):
        return subprocess.run([IN_BUILD_ROOT, *argv], capture_output=True, text=True, check=False,
                              timeout=600, **options)

    def test_it_is_the_debian_that_was_asked_for(self):
        shown = self.run_in_root("cat", "/etc/os-release").stdout
        self.assertIn(f"VERSION_CODENAME={build_root.SUITE}\n", shown)

    def test_exit_status(self):
        self.assertEqual(self.run_in_root("sh", "-c", "exit 37").returncode, 37)

    def test_status_of_a_killed_command(self):
        self.assertEqual(self.run_in_root("sh", "-c", "kill -9 $$").returncode, 128 + 9)

    def test_output_and_input_pass_unchanged(self):
        result = self.run_in_root("sh", "-c", "cat; echo aside >&2", input="one\n\x01two")
        self.assertEqual((result.stdout, result.stderr), ("one\n\x01two", "aside\n"))

    def test_arguments_are_not_reinterpreted(self):
        words = ["a b", "$HOME", "'", "*", ""]
        shown = self.run_in_root("printf", "%s\\n", *words).stdout
        self.assertEqual(shown.splitlines(), words)

    def test_checkout_cache_and_current_folder_are_there(self):
        shown = self.run_in_root("sh", "-c", f"pwd; ls {Cache().root}",
                                 cwd=REPOSITORY / "scripts").stdout.splitlines()
        self.assertEqual(shown[0], str(REPOSITORY / "scripts"))
        self.assertIn("build-root", shown)

    def test_other_folders_come_by_request(self):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            pathlib.Path(folder, "file").write_text("here", encoding="utf-8")
            os.chmod(folder, 0o755)
            self.assertEqual(self.run_in_root("cat", f"{folder}/file").returncode, 1)
            shown = self.run_in_root("--bind", folder, "cat", f"{folder}/file").stdout
            self.assertEqual(shown, "here")
            # Unbound again, the folder's place in the root is an empty folder.
            self.assertEqual(self.run_in_root("rmdir", folder).returncode, 0)

    def test_the_hosts_environment_stays_outside(self):
        shown = self.run_in_root("env", env={**os.environ, "RUSTFLAGS": "x", "http_proxy": "p"})
        self.assertNotIn("RUSTFLAGS", shown.stdout)
        self.assertIn("http_proxy=p\n", shown.stdout)

    def test_ending_it_ends_what_it_started(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            with tempfile.TemporaryDirectory() as folder:
                beat = pathlib.Path(folder, "beat")
                script = f"(while :; do echo >> {beat}; sleep 0.1; done) & wait"
                # A shell starts what runs in its background with Ctrl-C ignored.
                with subprocess.Popen(["env", "--default-signal=INT", IN_BUILD_ROOT, "sh", "-c",
                                       script], stderr=subprocess.DEVNULL) as process:
                    deadline = time.monotonic() + 60
                    while not beat.exists() and time.monotonic() < deadline:
                        time.sleep(0.05)
                    self.assertTrue(beat.exists(), number)
                    process.send_signal(number)
                    try:
                        process.wait(600)
                    finally:
                        process.kill()
                time.sleep(0.5)
                size = beat.stat().st_size
                time.sleep(1)
                self.assertEqual(beat.stat().st_size, size, number)


if __name__ == "__main__":
    unittest.main()
