# SPDX-License-Identifier: GPL-2.0
"""Installation of the package: it never fails for lack of a module, says why there is none, and
respects the choices of the administrator."""

import pathlib
import subprocess
import tempfile
import unittest

from xenrust import dkms_package

VERSION = "0.1+1"
KERNEL = "7.2.12+deb13-amd64"
OTHER = "6.12.9+deb13-amd64"

# DKMS keeps its state in a folder, with a file for each kernel.
DKMS = r"""#!/bin/sh
echo "$*" >>calls
kernel=${7:-none}
case "$1" in
status) [ ! -e added ] || cat "state-$kernel" 2>/dev/null || echo "xen-gntdev-rust/0.1+1: added" ;;
add) touch added ;;
install)
    if [ -e "fails" ]; then
        [ ! -e make.log ] || { mkdir -p "$(cat fails)"; mv make.log "$(cat fails)/make.log"; }
        exit 77
    fi
    echo "xen-gntdev-rust/0.1+1, $kernel, x86_64: installed" >"state-$kernel"
esac
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Machine(unittest.TestCase):
    """A system in a folder, with these kernels and a DKMS that builds nothing."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.system = pathlib.Path(folder.name)
        dkms_package.assemble(self.system / "package", VERSION)
        script(self.system / "bin/dkms", DKMS)
        self.source = self.system / f"usr/src/xen-gntdev-rust-{VERSION}"
        script(self.source / "scripts/build-installed",
               f'#!/bin/sh\n[ "$2" != {OTHER} ] || {{ echo "not for $2" >&2; exit 77; }}\n')
        self.kernel(KERNEL)

    def kernel(self, release, file="modules.builtin"):
        place = self.system / "lib/modules" / release / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    def postinst(self, *arguments):
        """Run it and return its output."""
        text = (self.system / "package/DEBIAN/postinst").read_text(encoding="utf-8")
        for place in ("/lib/modules", "/usr/src", "/etc/dkms", "/var/lib/dkms"):
            self.assertIn(place, text)
            text = text.replace(place, f"{self.system}{place}")
        text = text.replace("PATH=/usr/sbin", f"PATH={self.system}/bin:/usr/sbin")
        result = subprocess.run(["sh", "-c", text, "postinst", *arguments], cwd=self.system,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False, timeout=600)
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def installs(self):
        """For which kernels DKMS was asked for a module since the last question."""
        calls = self.system / "calls"
        lines = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [line.split()[-1] for line in lines if line.startswith("install ")]


class Postinst(Machine):
    def test_each_kernel_gets_a_module_once(self):
        self.kernel("7.2.11-amd64", "kernel/x.ko")
        self.kernel("7.2.10-amd64", "build/.config")
        self.postinst("configure", "")
        self.assertEqual(self.installs(), ["7.2.10-amd64", "7.2.11-amd64", KERNEL])
        self.postinst("triggered", "/usr/src")
        self.assertEqual(self.installs(), [])

    def test_kernels_that_are_gone(self):
        self.kernel("7.2.9-amd64", "updates/dkms/x.ko")
        self.postinst("configure", "")
        self.assertEqual(self.installs(), [KERNEL])

    def test_no_kernel_at_all(self):
        (self.system / "lib/modules" / KERNEL / "modules.builtin").unlink()
        self.assertEqual(self.postinst("configure", ""), "")

    def test_kernel_without_headers_is_told(self):
        # build-installed prints the reason.
        self.kernel(OTHER)
        self.assertEqual(self.postinst("configure", ""), f"not for {OTHER}\n")

    def fail(self, place, log):
        (self.system / "fails").write_text(
            f"{self.system}/var/lib/dkms/xen-gntdev-rust/{VERSION}/{place}", encoding="utf-8")
        if log is not None:
            (self.system / "make.log").write_text(
                f"DKMS make.log for xen-gntdev-rust/{VERSION} for kernel {log} (x86_64)\n"
                "error: the module does not build; log x\n", encoding="utf-8")
        return self.postinst("configure", "")

    def test_why_there_is_no_module(self):
        printed = self.fail("build", KERNEL)
        self.assertIn(f"no module for {KERNEL}, Linux's own driver stays", printed)
        self.assertIn("\nxen-gntdev-rust: the module does not build; log x\n", printed)
        self.assertRegex(printed, r"the log is /.*/build/make\.log\n")

    def test_log_of_a_build_that_was_good(self):
        printed = self.fail(f"{KERNEL}/x86_64/log", KERNEL)
        self.assertRegex(printed, r"the log is /.*/x86_64/log/make\.log\n")

    def test_no_log(self):
        self.assertNotIn("log", self.fail("build", None))

    def test_log_of_another_kernel(self):
        self.assertNotIn("log", self.fail("build", "7.2.120+deb13-amd64"))


class Administrator(Machine):
    """Decisions of the administrator stay."""

    def test_no_autoinstall(self):
        (self.system / "etc/dkms").mkdir(parents=True)
        (self.system / "etc/dkms/no-autoinstall").touch()
        for argument in ("configure", "triggered"):
            self.assertIn("no-autoinstall", self.postinst(argument, ""))
            self.assertEqual(self.installs(), [])
        # By hand it can be built nevertheless.
        self.assertTrue((self.system / "added").exists())

    def test_uninstalled_by_hand(self):
        self.postinst("configure", "")
        self.installs()
        state = self.system / f"state-{KERNEL}"
        state.write_text(f"xen-gntdev-rust/{VERSION}, {KERNEL}, x86_64: built\n", encoding="utf-8")
        self.postinst("triggered", "/usr/src")
        self.assertEqual(self.installs(), [])
        self.postinst("configure", "")
        self.assertEqual(self.installs(), [KERNEL])

    def test_removed_by_hand(self):
        self.postinst("triggered", "/usr/src")
        self.assertFalse((self.system / "added").exists())
        self.assertEqual(self.installs(), [])

    def test_an_upgrade_that_was_given_up(self):
        self.postinst("abort-upgrade", "0.2")
        self.assertEqual(self.installs(), [KERNEL])
