# SPDX-License-Identifier: GPL-2.0
"""The emulator's command for arm64 machines, and the device tree by which Xen finds dom0."""

import pathlib
import tempfile
import unittest

from harness import architecture
from harness.architecture.arm64 import device_tree
from harness.architecture.base import Files
from harness.choices import GuestType
from harness.spec import Spec
from xenrust.failure import Failure
from xenrust.processor import Processor

ARM64 = architecture.of(Processor.ARM64)


class Command(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, size in (("vmlinuz", 0x1234), ("initramfs", 0x10), ("xen", 1)):
            (self.folder / name).write_bytes(bytes(size))
        self.files = Files(self.folder, *(self.folder / name
                                          for name in ("vmlinuz", "initramfs", "xen")))

    def command(self, **choices):
        """The shell command of a boot."""
        spec = Spec(processor=Processor.ARM64, dom0=GuestType.PVH, **choices)
        argv = ARM64.command(spec, self.files, pathlib.Path("ports"))
        self.assertEqual(argv[:2], ["sh", "-ec"])
        return argv[2]

    def test_files_are_where_the_tree_says(self):
        text = self.command()
        for kind, name, address, size in (("kernel", "vmlinuz", "50000000", "0x1234"),
                                          ("ramdisk", "initramfs", "60000000", "0x10")):
            with self.subTest(kind):
                self.assertRegex(text, rf"module@{address} {{\n\s+compatible = "
                                       rf'"multiboot,{kind}", "multiboot,module";\n'
                                       rf"\s+reg = <0x0 0x{address} 0x0 {size}>;")
                self.assertIn(f"loader,file={self.folder}/{name},addr=0x{address},force-raw=on",
                              text)

    def test_guests_have_their_arguments(self):
        text = self.command(smp=3, cmdline='one="two"', xen_cmdline="four")
        self.assertRegex(text, r'xen,xen-bootargs = "console=dtuart .*dom0_max_vcpus=3 four";')
        self.assertRegex(text, r'bootargs = "console=hvc0 .* one=\\"two\\"";')

    def test_the_tree_is_that_of_the_same_machine(self):
        lines = self.command(smp=3, mem=3000).splitlines()
        dump, start = lines[0].split(), lines[-1].split()
        self.assertEqual(start[0], "exec")
        machine = dump[:dump.index("-machine") + 2]
        self.assertIn("3000", machine)
        self.assertEqual(start[1:len(machine) + 1], machine)
        self.assertIn(f"dumpdtb={self.folder}/device-tree.board", dump)

    def test_serial_ports(self):
        text = self.command()
        self.assertIn("-serial chardev:log ", text)
        self.assertIn("chardev1=run,chardev2=domu", text)
        self.assertNotEqual(ARM64.run_device, ARM64.domu_device)

    def test_without_xen_there_is_no_tree(self):
        argv = ARM64.command(Spec(processor=Processor.ARM64, xen=False, cmdline="more"), self.files,
                             pathlib.Path("ports"))
        self.assertEqual(argv[argv.index("-kernel") + 1], str(self.files.kernel))
        self.assertRegex(argv[argv.index("-append") + 1], "^console=ttyAMA0 .* more$")


class Tree(unittest.TestCase):
    def test_addresses_have_two_cells(self):
        text = device_tree.additions("", [device_tree.Module("kernel", 0x123456789, 0x1ffffffff)])
        self.assertIn("reg = <0x1 0x23456789 0x1 0xffffffff>;", text)


class Hypervisor(unittest.TestCase):
    def test_the_plain_image_is_taken(self):
        with tempfile.TemporaryDirectory() as name:
            boot = pathlib.Path(name, "boot")
            boot.mkdir()
            with self.assertRaisesRegex(Failure, "has no Xen"):
                ARM64.hypervisor(boot.parent)
            for suffix in ("", ".config", ".efi"):
                (boot / f"xen-4.20-arm64{suffix}").write_bytes(b"plain" + suffix.encode())
            self.assertEqual(ARM64.hypervisor(boot.parent), b"plain")


class Choices(unittest.TestCase):
    def test_all_domains_are_of_one_kind(self):
        self.assertEqual(ARM64.dom0_types, (GuestType.PVH,))
        self.assertEqual(ARM64.domu_types, (GuestType.PVH,))

    def test_each_processor_has_a_machine(self):
        self.assertEqual(set(architecture.ARCHITECTURES), set(Processor))
