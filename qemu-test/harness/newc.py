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

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._folders = {""}
        self._inode = 0

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Add a folder, unless it is there."""
        name = name.strip("/")
        if name in self._folders:
            return
        self._parents(name)
        self._folders.add(name)
        self._record(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self._parents(name)
        self._record(name, stat.S_IFREG | mode, data)

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._parents(name)
        self._record(name, stat.S_IFLNK | 0o777, target.encode())

    def char_device(self, name: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a character device."""
        self._parents(name)
        self._record(name, stat.S_IFCHR | mode, b"", (major, minor))

    def finish(self) -> bytes:
        """The whole archive as bytes."""
        self._record(TRAILER, 0, b"")
        return b"".join(self._parts)

    def _parents(self, name: str) -> None:
        head, _, _ = name.strip("/").rpartition("/")
        if head:
            self.folder(head)

    def _record(self, name: str, mode: int, data: bytes,
                device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.strip("/").encode() + b"\0"
        links, owner, mtime = 1, 0, 0
        numbers = (self._inode, mode, owner, owner, links, mtime, len(data),
                   0, 0, device[0], device[1], len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers)
        self._parts += [header, encoded, _padding(len(header) + len(encoded)),
                        data, _padding(len(data))]


def _padding(length: int) -> bytes:
    return b"\0" * (-length % 4)
