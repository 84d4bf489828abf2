# SPDX-License-Identifier: GPL-2.0
"""Packages of a purpose are installed in the build root when they are needed."""

import json
import os
import tempfile
import unittest
from unittest import mock

from xenrust import build_root, graph
from xenrust.build_root import Purpose
from xenrust.cache import Cache
from xenrust.failure import Failure
from xenrust.processor import Processor


class Stages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with mock.patch.dict(os.environ, {"CACHE": f"{folder.name}/cache"}):
            self.cache = Cache()
        self.calls = []
        for name, double in (("bootstrap", self.bootstrap), ("apt_get", self.apt_get),
                             ("_namespace", lambda: ["env"]), ("_require_namespaces", mock.Mock()),
                             ("host", mock.Mock()), ("_roots_with_indexes", set()),
                             ("of_this_machine", lambda: Processor.X86_64)):
            patch = mock.patch.object(build_root, name, double)
            patch.start()
            self.addCleanup(patch.stop)

    def bootstrap(self, _cache, folder, _title, packages=(), keep_indexes=False):
        self.assertTrue(keep_indexes)
        self.calls.append(("bootstrap", *packages))
        (folder / "etc").mkdir(parents=True)

    def apt_get(self, _cache, _title, arguments, failed, cwd="/", processor=None):
        self.calls.append(tuple(word for word in arguments if word != "--yes"))

    def stamp(self):
        file = self.cache.build_root / "etc/xen-rust-build-root.json"
        return json.loads(file.read_text(encoding="utf-8"))

    def packages(self, *purposes):
        return sorted(name for purpose in purposes for packages in
                      (build_root.PACKAGES, build_root.NATIVE_PACKAGES[Processor.X86_64])
                      for name in packages.get(purpose, ()))

    def test_only_what_is_needed_is_installed(self):
        build_root.ensure(self.cache, Purpose.FETCH)
        self.assertEqual(self.calls, [("bootstrap", *self.packages(Purpose.FETCH))])
        build_root.ensure(self.cache, Purpose.BOOT)
        self.assertEqual(self.calls[1:], [("install", *self.packages(Purpose.BOOT))])
        self.assertEqual(self.stamp()["packages"], self.packages(Purpose.FETCH, Purpose.BOOT))

    def test_nothing_is_done_twice(self):
        build_root.ensure(self.cache)
        self.assertEqual(self.stamp()["packages"], self.packages(*Purpose))
        done = list(self.calls)
        for purpose in Purpose:
            build_root.ensure(self.cache, purpose)
        self.assertEqual(self.calls, done)

    def test_indexes_are_fetched_once(self):
        build_root.ensure(self.cache, Purpose.BOOT)
        build_root.apt_update(self.cache)
        self.assertNotIn(("update",), self.calls)
        # Another process knows nothing of them.
        build_root._roots_with_indexes.clear()
        build_root.ensure(self.cache, Purpose.ALL)
        build_root.apt_update(self.cache)
        self.assertEqual([call[0] for call in self.calls],
                         ["bootstrap", "install", "update", "install"])

    def test_a_new_package_is_added_to_an_old_root(self):
        build_root.ensure(self.cache)
        with mock.patch.dict(build_root.PACKAGES, {Purpose.ALL: ["new"]}):
            build_root.ensure(self.cache, Purpose.BOOT)
            self.assertNotIn(("install", "new"), self.calls)
            build_root.ensure(self.cache)
        self.assertEqual(self.calls[-1], ("install", "new"))
        self.assertIn("new", self.stamp()["packages"])

    def test_tools_for_another_processor_are_installed_only_for_its_guests(self):
        foreign = build_root.FOREIGN_PACKAGES[Processor.ARM64]
        build_root.ensure(self.cache)
        self.assertFalse(set(foreign) & set(self.stamp()["packages"]))
        build_root.ensure(self.cache, Purpose.BOOT, Processor.ARM64)
        self.assertEqual(self.calls[-1], ("install", *foreign))
        done = list(self.calls)
        build_root.ensure(self.cache)
        build_root.ensure(self.cache, Purpose.BOOT, Processor.ARM64)
        self.assertEqual(self.calls, done)

    def test_this_machine_s_tools_are_those_of_its_processor(self):
        with mock.patch.object(build_root, "of_this_machine", lambda: Processor.ARM64):
            packages = build_root.packages_for(Purpose.ALL, Processor.ARM64)
            self.assertIn("xen-hypervisor-4.20-arm64", packages)
            self.assertIn("qemu-system-arm", packages)
            self.assertFalse({"gcc-aarch64-linux-gnu", "qemu-system-x86", "qemu-system-xen",
                              "xen-hypervisor-4.20-amd64"} & set(packages))
            with self.assertRaisesRegex(Failure, "x86_64 do not run on arm64"):
                build_root.packages_for(Purpose.BOOT, Processor.X86_64)
            # Sources have no processor.
            build_root.packages_for(Purpose.FETCH, Processor.X86_64)

    def test_a_root_of_another_suite_is_made_anew(self):
        build_root.ensure(self.cache, Purpose.FETCH)
        with mock.patch.object(build_root, "SUITE", "other"):
            build_root.ensure(self.cache, Purpose.FETCH)
        self.assertEqual([call[0] for call in self.calls], ["bootstrap", "bootstrap"])
        self.assertEqual(self.stamp()["suite"], "other")

    def test_an_interrupted_installation_is_repeated(self):
        build_root.ensure(self.cache, Purpose.FETCH)
        with mock.patch.object(build_root, "apt_get", side_effect=KeyboardInterrupt), \
                self.assertRaises(KeyboardInterrupt):
            build_root.ensure(self.cache, Purpose.BOOT)
        build_root.ensure(self.cache, Purpose.BOOT)
        self.assertEqual(self.calls[-1][0], "install")

    def test_purposes_at_the_same_time(self):
        nodes = [graph.Node(lambda: build_root.ensure(self.cache, Purpose.BOOT)) for _ in range(3)]
        with mock.patch("xenrust.cache.say"):
            graph.run(nodes)
        self.assertEqual([call[0] for call in self.calls], ["bootstrap", "install"])


if __name__ == "__main__":
    unittest.main()
