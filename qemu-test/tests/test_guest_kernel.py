# SPDX-License-Identifier: GPL-2.0
"""Choice of the kernel and of a distribution's modules for a machine."""

import lzma
import pathlib
import tempfile
import unittest
from unittest import mock

from harness import guest_kernel
from xenrust import debian_kernel
from xenrust.failure import Failure
from xenrust.processor import Processor

RELEASE = "7.2.12+deb13-amd64"
NEEDS = {"xenfs": "xen-privcmd", "bochs": "drm", "drm": "", "9p": "9pnet",
         "9pnet_virtio": "9pnet"}


class DebianKernel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = mock.MagicMock(debian=pathlib.Path(folder.name))
        home = self.cache.debian / RELEASE
        self.modules = home / f"image/usr/lib/modules/{RELEASE}/kernel/drivers"
        self.modules.mkdir(parents=True)
        (self.modules.parents[1] / "vmlinuz").write_bytes(b"kernel")
        self.ours = home / "xen_gntdev_rust.ko"
        self.ours.write_bytes(b"ours")
        for name in (*guest_kernel.PLATFORM_MODULES, *guest_kernel.ROOT_MODULES,
                     *guest_kernel.OTHER_MODULES, "drm", "9pnet", "other"):
            self.ship(name)
        kernel = debian_kernel.DebianKernel(RELEASE, "1", home, home, home / "image")
        patch = mock.patch.object(debian_kernel, "ensure", return_value=kernel)
        self.ensure = patch.start()
        self.addCleanup(patch.stop)

    def ship(self, name):
        content = b"\x7fELF\0depends=" + NEEDS.get(name, "").encode() + b"\0name=" + name.encode()
        (self.modules / f"{name}.ko.xz").write_bytes(lzma.compress(content))

    def test_modules_are_those_that_are_needed_unpacked(self):
        found = guest_kernel.find(self.cache, "debian")
        self.assertEqual(found.image.read_bytes(), b"kernel")
        self.assertEqual({file.name for file in found.modules},
                         {"xen_gntdev_rust.ko", "xen-privcmd.ko", "xenfs.ko", "xen-evtchn.ko",
                          "xen-gntdev.ko", "xen-gntalloc.ko", "xen-blkfront.ko", "bochs.ko",
                          "drm.ko"})
        for file in found.modules[1:]:
            self.assertTrue(file.read_bytes().startswith(b"\x7fELF"), file)

    def test_platform_modules_can_be_loaded_in_their_order(self):
        names = guest_kernel.PLATFORM_MODULES
        self.assertLess(names.index("xen-privcmd"), names.index("xenfs"))

    def test_which_kernel(self):
        for wanted, config in (("debian", "debian"), ("7.2.9", "debian-7.2.9"),
                               (RELEASE, f"debian-{RELEASE}")):
            self.assertEqual(guest_kernel.debian_config(wanted), config)
            self.assertTrue(guest_kernel.is_debian(config))
            guest_kernel.find(self.cache, config)
            self.ensure.assert_called_with(self.cache, wanted, processor=Processor.X86_64)
        self.assertFalse(guest_kernel.is_debian("dom0"))

    def test_kernels_of_another_processor(self):
        guest_kernel.find(self.cache, "debian", Processor.ARM64)
        self.ensure.assert_called_with(self.cache, "debian", processor=Processor.ARM64)
        with self.assertRaisesRegex(Failure, "dom0 is not built for arm64"):
            guest_kernel.ensure(self.cache, "dom0", Processor.ARM64)

    def test_an_installed_system_gets_the_modules_that_mount_its_root(self):
        root = self.cache.debian / RELEASE / "image"
        (root / "var/tmp").mkdir(parents=True)
        found = guest_kernel.find_installed(root, f"debian-{RELEASE}")
        self.assertEqual(found.image.read_bytes(), b"kernel")
        self.assertEqual(found.platform_modules, ("9pnet", "9pnet_virtio", "9p", "overlay"))
        self.assertEqual(tuple(file.stem for file in found.modules), found.platform_modules)
        self.ensure.assert_not_called()

    def test_what_is_missing_is_named(self):
        (self.modules / "bochs.ko.xz").unlink()
        with self.assertRaisesRegex(Failure, f"{RELEASE[:6]}.* has no module bochs"):
            guest_kernel.find(self.cache, "debian")
        self.ours.unlink()
        with self.assertRaisesRegex(Failure, "scripts/build-module"):
            guest_kernel.find(self.cache, "debian")
