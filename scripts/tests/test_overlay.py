# SPDX-License-Identifier: GPL-2.0
"""The overlay goes into a kernel tree and out of it again without a trace."""

import os
import pathlib
import shutil
import tempfile
import unittest

from xenrust import kernel_source, overlay
from xenrust.cache import Cache
from xenrust.failure import Failure

MAKEFILE = "# SPDX-License-Identifier: GPL-2.0\nVERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 3\n"
KCONFIG = "menu \"Xen driver support\"\n\nif XEN\nmenu \"inner\"\nendmenu\nendif\n\nendmenu\n"


def snapshot(folder):
    """Map every path below FOLDER to its content and mode."""
    return {str(path.relative_to(folder)): (path.is_dir() or path.read_bytes(), path.stat().st_mode)
            for path in sorted(folder.rglob("*"))}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class OverlayTest(unittest.TestCase):
    """A tiny tree and a tiny repository, as unlike as the real ones."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="overlay-test-")
        self.addCleanup(folder.cleanup)
        self.tree = pathlib.Path(folder.name, "tree")
        self.repository = pathlib.Path(folder.name, "repository")
        write(self.tree / "Makefile", MAKEFILE)
        write(self.tree / "Kbuild", "")
        write(self.tree / "drivers/xen/Kconfig", KCONFIG)
        write(self.tree / "drivers/xen/Makefile", "obj-y\t+= events/\n")
        write(self.tree / "drivers/xen/events/Makefile", "obj-y\t+= events.o\n")
        write(self.repository / "drivers/xen/gntdev/Kconfig", "config XEN_GNTDEV_RUST\n")
        write(self.repository / "drivers/xen/gntdev/Makefile", "obj-m += gntdev.o\n")
        write(self.repository / "drivers/xen/rust/mod.rs", "//! One.\n")
        self.pristine = snapshot(self.tree)

    def overlay(self):
        return overlay.Overlay(self.tree, self.repository)

    def overlay_with_line(self, line):
        """The overlay with a file and LINE beyond it in a tree that has a place for them."""
        setup = self.tree / "arch/setup.c"
        if not setup.exists():
            write(setup, "end();\n")
        write(self.repository / "kernels/debug/arch/early.c", "int early;\n")
        hook = overlay.Hook("arch/setup.c", line, "end();\n", "arch/early.c")
        return overlay.Overlay(self.tree, self.repository,
                               overlay.Addition("kernels/debug", (hook,)))

    def text(self, path):
        return (self.tree / path).read_text(encoding="utf-8")

    def test_apply_copies_files_and_adds_hooks(self):
        self.assertEqual(self.overlay().apply(), 3)
        self.assertEqual(self.text("drivers/xen/rust/mod.rs"), "//! One.\n")
        self.assertTrue(self.text("drivers/xen/Kconfig").endswith(
            'endif\n\nsource "drivers/xen/gntdev/Kconfig"\nendmenu\n'))
        self.assertEqual(self.text("drivers/xen/Makefile"),
                         "obj-y\t+= events/\nobj-y\t+= gntdev/\n")

    def test_remove_restores_the_tree(self):
        write(self.repository / "drivers/xen/events/Makefile", "obj-y\t+= ours.o\n")
        os.chmod(self.tree / "drivers/xen/Kconfig", 0o600)
        self.pristine = snapshot(self.tree)
        self.overlay().apply()
        self.assertNotEqual(snapshot(self.tree), self.pristine)
        self.overlay().remove()
        self.assertEqual(snapshot(self.tree), self.pristine)

    def test_apply_twice_writes_nothing_and_keeps_time_stamps(self):
        self.overlay().apply()
        files = [path for path in self.tree.rglob("*")
                 if path.is_file() and path.parent.name != ".xen-rust-overlay"]
        for path in files:
            os.utime(path, (1, 1))
        before = snapshot(self.tree)
        self.assertEqual(self.overlay().apply(), 0)
        self.assertEqual(snapshot(self.tree), before)
        self.assertEqual([path for path in files if path.stat().st_mtime != 1], [])

    def test_only_changed_content_is_written(self):
        self.overlay().apply()
        write(self.repository / "drivers/xen/rust/mod.rs", "//! Two.\n")
        self.assertEqual(self.overlay().apply(), 1)
        self.assertEqual(self.text("drivers/xen/rust/mod.rs"), "//! Two.\n")

    def test_file_that_left_the_overlay_leaves_the_tree(self):
        self.overlay().apply()
        shutil.rmtree(self.repository / "drivers/xen/rust")
        self.overlay().apply()
        self.assertFalse((self.tree / "drivers/xen/rust").exists())

    def test_replaced_file_comes_back_when_it_leaves_the_overlay(self):
        ours = self.repository / "drivers/xen/events/Makefile"
        write(ours, "obj-y\t+= ours.o\n")
        self.overlay().apply()
        self.assertEqual(self.text("drivers/xen/events/Makefile"), "obj-y\t+= ours.o\n")
        ours.unlink()
        self.overlay().apply()
        self.assertEqual(self.text("drivers/xen/events/Makefile"), "obj-y\t+= events.o\n")
        self.overlay().remove()
        self.assertEqual(snapshot(self.tree), self.pristine)

    def test_replaced_file_with_equal_content_survives_removal(self):
        write(self.repository / "drivers/xen/events/Makefile", "obj-y\t+= events.o\n")
        self.overlay().apply()
        self.overlay().remove()
        self.assertEqual(snapshot(self.tree), self.pristine)

    def test_hooks_follow_the_overlay(self):
        self.overlay().apply()
        shutil.rmtree(self.repository / "drivers/xen/gntdev")
        self.overlay().apply()
        self.assertEqual(self.text("drivers/xen/Kconfig"), KCONFIG)

    def test_addition_is_put_in_and_taken_out(self):
        write(self.tree / "arch/setup.c", "start();\nend();\n")
        pristine = snapshot(self.tree)
        place = self.overlay_with_line("early();\n")
        place.apply()
        self.assertEqual(self.text("arch/early.c"), "int early;\n")
        self.assertEqual(self.text("arch/setup.c"), "start();\nearly();\nend();\n")
        self.assertTrue((self.tree / "drivers/xen/rust/mod.rs").exists())
        self.assertEqual(place.status(), (overlay.State.CURRENT, []))
        place.remove()
        self.assertEqual(snapshot(self.tree), pristine)

    def test_line_that_left_the_addition_leaves_the_tree(self):
        for line in ("early();\n", "earlier();\n"):
            self.overlay_with_line(line).apply()
            self.assertEqual(self.text("arch/setup.c"), f"{line}end();\n")
        self.overlay().remove()
        self.assertEqual(self.text("arch/setup.c"), "end();\n")

    def test_status_finds_a_line_that_left_the_addition(self):
        place = self.overlay_with_line("early();\n")
        place.apply()
        place.addition = overlay.Addition(place.addition.folder, ())
        self.assertEqual(place.status(), (overlay.State.OUTDATED, ["arch/setup.c"]))
        place.apply()
        self.assertEqual(place.status(), (overlay.State.CURRENT, []))

    def test_tree_without_a_record_of_its_lines_loses_them(self):
        place = self.overlay()
        place.apply()
        place.hooks_file.unlink()
        self.overlay().remove()
        self.assertEqual(snapshot(self.tree), self.pristine)

    def test_digest_depends_on_files_and_lines(self):
        digests = set()
        for line in ("early();\n", "earlier();\n"):
            place = self.overlay_with_line(line)
            place.apply()
            digests.add(place.digest())
        self.overlay().apply()
        digests.add(self.overlay().digest())
        self.assertEqual(len(digests), 3)

    def test_own_lines_in_hooked_files_are_kept(self):
        self.overlay().apply()
        file = self.tree / "drivers/xen/Makefile"
        write(file, file.read_text(encoding="utf-8") + "obj-y\t+= mine.o\n")
        self.overlay().remove()
        self.assertEqual(self.text("drivers/xen/Makefile"),
                         "obj-y\t+= events/\nobj-y\t+= mine.o\n")

    def test_edited_copy_is_not_overwritten(self):
        self.overlay().apply()
        write(self.tree / "drivers/xen/rust/mod.rs", "//! Edited in the tree.\n")
        write(self.repository / "drivers/xen/rust/mod.rs", "//! Two.\n")
        for action in (self.overlay().apply, self.overlay().remove):
            with self.assertRaisesRegex(Failure, "drivers/xen/rust/mod.rs was changed"):
                action()
        self.assertEqual(self.text("drivers/xen/rust/mod.rs"), "//! Edited in the tree.\n")

    def test_interrupted_apply_is_finished_and_undone(self):
        write(self.repository / "drivers/xen/events/Makefile", "obj-y\t+= ours.o\n")
        real = overlay._write
        writes = 0
        while True:
            allowed = writes

            def limited(path, content):
                nonlocal allowed
                if not allowed:
                    raise KeyboardInterrupt
                allowed -= 1
                real(path, content)

            overlay._write = limited
            try:
                self.overlay().apply()
                finished = True
            except KeyboardInterrupt:
                finished = False
            finally:
                overlay._write = real
            self.overlay().apply()
            self.assertEqual(self.overlay().status(), (overlay.State.CURRENT, []), writes)
            self.overlay().remove()
            self.assertEqual(snapshot(self.tree), self.pristine, writes)
            if finished:
                break
            writes += 1
        self.assertGreater(writes, 5)

    def test_status(self):
        self.assertEqual(self.overlay().status(), (overlay.State.ABSENT, []))
        self.overlay().apply()
        self.assertEqual(self.overlay().status(), (overlay.State.CURRENT, []))
        write(self.repository / "drivers/xen/rust/mod.rs", "//! Two.\n")
        self.assertEqual(self.overlay().status(),
                         (overlay.State.OUTDATED, ["drivers/xen/rust/mod.rs"]))

    def test_litter_is_left_behind(self):
        for name in (".hidden", "mod.rs~", "mod.o", "__pycache__/x.pyc"):
            write(self.repository / "drivers/xen/rust" / name, "")
        self.assertEqual(self.overlay().apply(), 3)

    def test_digest_follows_content_and_names(self):
        digests = []
        file = self.repository / "drivers/xen/rust/mod.rs"
        for change in (lambda: None, lambda: None, lambda: write(file, "//! Two.\n"),
                       lambda: file.rename(file.with_name("other.rs"))):
            change()
            self.overlay().apply()
            digests.append(self.overlay().digest())
        self.assertEqual(digests[0], digests[1])
        self.assertEqual(len(set(digests)), 3)

    def test_unsupported_series(self):
        write(self.tree / "Makefile", MAKEFILE.replace("PATCHLEVEL = 2", "PATCHLEVEL = 1"))
        with self.assertRaisesRegex(Failure, r"series 7\.1; this overlay supports 7\.2"):
            self.overlay().require_supported()

    def test_not_a_kernel_tree(self):
        makefile = self.tree / "Makefile"
        for spoil in ((self.tree / "Kbuild").unlink, lambda: write(makefile, "all:\n"),
                      makefile.unlink, lambda: shutil.rmtree(self.tree)):
            spoil()
            with self.assertRaisesRegex(Failure, "is not a kernel tree"):
                self.overlay()

    def test_kernel_without_the_hook_line(self):
        write(self.tree / "drivers/xen/Kconfig", "config XEN\n")
        with self.assertRaisesRegex(Failure, "has no line 'endmenu'"):
            self.overlay().apply()


class RealTreeTest(unittest.TestCase):
    """The real overlay and the files of the real kernel that it touches."""

    def test_goes_in_and_out(self):
        tree = kernel_source.ensure(Cache())
        with tempfile.TemporaryDirectory(prefix="overlay-test-") as folder:
            copy = pathlib.Path(folder, "tree")
            for path in ("drivers/xen", "samples", overlay.FOLDER_OF_STATE):
                if (tree / path).exists():
                    shutil.copytree(tree / path, copy / path)
            for path in ("Makefile", "Kbuild"):
                shutil.copy2(tree / path, copy / path)
            place = overlay.Overlay(copy)
            place.remove()
            self.assertNotIn("gntdev/", (copy / "drivers/xen/Makefile").read_text("utf-8"))
            pristine = snapshot(copy)
            place.require_supported()
            place.apply()
            self.assertIn('source "drivers/xen/gntdev/Kconfig"',
                          (copy / "drivers/xen/Kconfig").read_text("utf-8"))
            self.assertEqual(place.status(), (overlay.State.CURRENT, []))
            place.remove()
            self.assertEqual(snapshot(copy), pristine)


if __name__ == "__main__":
    unittest.main()
