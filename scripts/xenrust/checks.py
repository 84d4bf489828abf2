# SPDX-License-Identifier: GPL-2.0
"""The checks of `make check`: formatting, lint, types and the rules of the repository."""

import pathlib
import re
import subprocess
import time
from collections.abc import Sequence

from . import build_root, guest, import_rules, kernel, kernel_source, overlay, rules
from .cache import REPOSITORY, Cache
from .failure import Failure
from .progress import Arguments, duration

# Files for checkpatch. It wants kernel style of C, and of the others SPDX lines, line length, no
# trailing blanks, and spelling.
CHECKPATCH_SUFFIXES = (".rs", ".c", ".h", ".sh", ".py", ".rst", "Makefile", "Kconfig")

# A mount command names the file system twice, which is no slip.
EXCEPTIONS = ("REPEATED_WORD",)
# The kernel writes the definitions of trace events in a way of its own, which checkpatch knows only
# under "TRACE_EVENT(" itself.
TRACE_EVENTS = "include/trace/events/"
TRACE_EXCEPTIONS = ("OPEN_ENDED_LINE", "PARENTHESIS_ALIGNMENT")

SHELL = re.compile(rb"#!\s*/\S*/(ba|da)?sh\b|#!\s*/bin/busybox sh\b")
PYTHON = re.compile(rb"#!.*\bpython3?\b")

TYPED_PACKAGES = ("scripts/xenrust", "qemu-test/harness")
# That of Debian 12.
OLDEST_PYTHON = "3.11"


class Checks:
    """All checks over the files that git knows, or would know after `git add`."""

    def __init__(self, cache: Cache) -> None:
        build_root.ensure(cache)
        self.cache = cache
        self.files = _repository_files()
        self.tree = kernel_source.ensure(cache)

    def run(self) -> int:
        """Run every check; return how many failed."""
        checks = (("rules", self.rules), ("python", self.python), ("types", self.types),
                  ("shell", self.shell),
                  ("rustfmt", self.rustfmt), ("checkpatch", self.checkpatch),
                  ("spelling", self.spelling),
                  ("clippy of the programs", self.clippy_programs),
                  ("clippy of the kernel code", lambda: self.clippy_kernel("dom0")),
                  ("clippy of the kernel code for arm64", lambda: self.clippy_kernel("arm64")))
        failed = 0
        for name, check in checks:
            started = time.monotonic()
            found = check()
            failed += bool(found)
            for line in found:
                print(line)
            print(f"check {name}: {'FAILED' if found else 'ok'}, "
                  f"{duration(time.monotonic() - started)}", flush=True)
        print(f"{len(checks) - failed} passed, {failed} failed, 0 skipped")
        return failed

    def rules(self) -> list[str]:
        """The repository's own rules."""
        texts = {path: (REPOSITORY / path).read_text("utf-8", errors="replace")
                 for path in self.files}
        return [problem for path, text in texts.items() for problem in rules.problems(path, text)
                ] + import_rules.problems(texts)

    def python(self) -> list[str]:
        """Style, and syntax by the host's own Python."""
        files = [path for path in self.files if path.endswith(".py") or self._runs(path, PYTHON)]
        found = []
        for path in files:
            try:
                compile((REPOSITORY / path).read_bytes(), path, "exec")
            except SyntaxError as error:
                found.append(f"{path}:{error.lineno}: {error.msg}")
        return found + self._in_root(["flake8", "--max-line-length=100", *files])

    def types(self) -> list[str]:
        """Type hints of Python, by mypy in its strict mode."""
        scripts = [path for path in self.files if path.startswith(("scripts/", "qemu-test/"))
                   and self._runs(path, PYTHON)]
        return self._in_root(
            ["env", "MYPYPATH=scripts:qemu-test", "mypy", "--strict", "--scripts-are-modules",
             f"--python-version={OLDEST_PYTHON}", f"--cache-dir={self.cache.target}/mypy",
             "--no-error-summary", *TYPED_PACKAGES, *scripts])

    def shell(self) -> list[str]:
        """Syntax of the shell scripts, as the guests' shell reads them."""
        files = [path for path in self.files if path.endswith(".sh") or self._runs(path, SHELL)]
        return [line for path in files for line in self._in_root(["busybox", "sh", "-n", path])]

    def rustfmt(self) -> list[str]:
        """Format of the module by the kernel's settings, of the programs by the default ones."""
        module = [path for path in self.files if path.endswith(".rs")
                  and path.startswith(overlay.FOLDERS)]
        found = self._in_root(["rustfmt", "--check", "--edition=2021", "--config-path",
                               str(self.tree / ".rustfmt.toml"), *module]) if module else []
        for workspace in guest.WORKSPACES:
            found += self._in_root(["cargo", "fmt", "--check", "--all"], cwd=workspace)
        return found

    def checkpatch(self) -> list[str]:
        """The kernel's own style checker, in its strict mode, without a single complaint."""
        files = [path for path in self.files if path.endswith(CHECKPATCH_SUFFIXES)]
        events = [path for path in files if path.startswith(TRACE_EVENTS)]
        return (self._checkpatch(EXCEPTIONS, [path for path in files if path not in events])
                + self._checkpatch(EXCEPTIONS + TRACE_EXCEPTIONS, events))

    def _checkpatch(self, exceptions: Sequence[str], files: Sequence[str]) -> list[str]:
        return self._in_root(
            ["perl", str(self.tree / "scripts/checkpatch.pl"), "--no-tree", "--strict", "--terse",
             "--no-summary", "--show-types", f"--ignore={','.join(exceptions)}", "--file", *files])

    def spelling(self) -> list[str]:
        """The misspellings that codespell knows."""
        return self._in_root(["codespell", "--ignore-words-list=inout,parm", *self.files])

    def clippy_programs(self) -> list[str]:
        """Clippy on the guest programs; a warning is an error."""
        try:
            with self.cache.lock("guest"):
                guest.cargo(self.cache, "clippy of the programs",
                            ["clippy", "--release", "--all-targets", "--", "-D", "warnings"],
                            failed="clippy has complaints")
        except Failure as failure:
            return [str(failure)]
        return []

    def clippy_kernel(self, config: str) -> list[str]:
        """Clippy on the overlay, as the kernel CONFIG sets it up; a warning is an error.

        It works in a build folder of its own, because clippy instead of rustc changes every
        command, and with it the objects of the kernel that the tests boot.
        """
        try:
            kernel.clippy(self.cache, config)
        except Failure as failure:
            return [str(failure)]
        return []

    def _runs(self, path: str, interpreter: re.Pattern[bytes]) -> bool:
        with open(REPOSITORY / path, "rb") as file:
            return bool(interpreter.match(file.readline()))

    def _in_root(self, argv: Arguments, cwd: pathlib.Path = REPOSITORY) -> list[str]:
        """Run a checker in the build root; return its output if it fails."""
        result = subprocess.run(build_root.command(self.cache, argv, cwd=cwd),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False, timeout=600)
        if result.returncode == 0:
            return []
        return result.stdout.splitlines() or [f"{argv[0]}: exit status {result.returncode}"]


def _repository_files() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z",
         "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise Failure(f"git cannot list the files of {REPOSITORY}: {listed.stderr.strip()}")
    return [path for path in sorted(set(listed.stdout.split("\0")))
            if path and (REPOSITORY / path).is_file()]
