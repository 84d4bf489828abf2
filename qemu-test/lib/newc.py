# SPDX-License-Identifier: GPL-2.0
"""Writes cpio archives in the "newc" format, the one the kernel unpacks as an initramfs.

The format is a sequence of records: a header of "070701" and thirteen numbers of eight hex
digits, the name with a terminating zero, and the data; name and data are each padded to four
bytes. A record named TRAILER!!! ends the archive. Several archives may follow each other.
"""

import stat

TRAILER = "TRAILER!!!"


class Archive:
    """An archive that grows in memory; parent folders are made as names need them."""

    def __init__(self):
        self._parts = []
        self._folders = {""}
        self._inode = 0

    def folder(self, name, mode=0o755):
        name = name.strip("/")
        if name in self._folders:
            return
        self._parents(name)
        self._folders.add(name)
        self._record(name, stat.S_IFDIR | mode, b"")

    def file(self, name, data, mode=0o644):
        self._parents(name)
        self._record(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        self._parents(name)
        self._record(name, stat.S_IFLNK | 0o777, target.encode())

    def char_device(self, name, major, minor, mode=0o600):
        self._parents(name)
        self._record(name, stat.S_IFCHR | mode, b"", (major, minor))

    def finish(self):
        """The whole archive as bytes."""
        self._record(TRAILER, 0, b"")
        return b"".join(self._parts)

    def _parents(self, name):
        head, _, _ = name.strip("/").rpartition("/")
        if head:
            self.folder(head)

    def _record(self, name, mode, data, device=(0, 0)):
        self._inode += 1
        name = name.strip("/").encode() + b"\0"
        links, owner, mtime = 1, 0, 0
        numbers = (self._inode, mode, owner, owner, links, mtime, len(data),
                   0, 0, device[0], device[1], len(name), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers)
        self._parts += [header, name, _padding(len(header) + len(name)),
                        data, _padding(len(data))]


def _padding(length):
    return b"\0" * (-length % 4)
