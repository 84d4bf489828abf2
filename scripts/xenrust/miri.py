# SPDX-License-Identifier: GPL-2.0
"""Tests of the models by Miri, the interpreter that finds undefined behaviour."""

import pathlib
import shutil

from . import build_root, guest
from .build_root import Purpose
from .cache import Cache
from .progress import Step

# Miri comes with nightly compilers only. A date names one of them for good; rustup verifies what
# it fetches by the hashes in the list of that day.
TOOLCHAIN = "nightly-2026-10-30"
PACKAGES = ("event-model", "gntdev-model")
# Miri has no machine code, by which loom switches threads.
SKIPPED = "interleavings"


def test(cache: Cache) -> None:
    """Run the tests of PACKAGES in the interpreter. The toolchain is fetched if need be."""
    build_root.ensure(cache, Purpose.BOOT)
    with cache.lock("miri"):
        _ensure_toolchain(cache)
        packages = [word for package in PACKAGES for word in ("-p", package)]
        step = Step("Miri", cache.log / "miri.log", timeout=3600, follow=_result)
        guest.configure(cache)
        argv = ["cargo", "miri", "test", "--locked", *packages, "--", "--skip", SKIPPED]
        build_root.run_logged(cache, step, _with_toolchain(cache, argv),
                              failed="Miri found undefined behaviour, or a test fails in it",
                              cwd=guest.TEST_PROGRAMS)


def _ensure_toolchain(cache: Cache) -> None:
    """Install the toolchain by Debian's rustup. It is unpacked beside the build root, because the
    package cannot be installed there together with Debian's own compiler."""
    home = _home(cache)
    if (home / "toolchains").is_dir():
        return
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    build_root.apt_download(cache, "Miri: rustup", ["rustup"], partial)
    step = Step("Miri: toolchain", cache.log / "miri-toolchain.log", timeout=3600)
    build_root.run_logged(
        cache, step,
        ["sh", "-ec",
         'dpkg-deb --extract rustup_*.deb tool; RUSTUP_HOME="$PWD" tool/usr/bin/rustup '
         'toolchain install "$1" --profile minimal --component miri --component rust-src; '
         'rm -r tool rustup_*.deb', "sh", TOOLCHAIN],
        failed=f"could not fetch the compiler {TOOLCHAIN}: does rustup reach its server?",
        cwd=partial)
    partial.rename(home)


def _with_toolchain(cache: Cache, argv: list[str]) -> list[str]:
    """ARGV with the toolchain's programs before those of the build root."""
    programs = next((_home(cache) / "toolchains").glob("*")) / "bin"
    return ["sh", "-c", 'PATH="$0:$PATH"; export PATH; exec "$@"', str(programs), "env",
            f"CARGO_TARGET_DIR={cache.target / 'miri'}",
            # Time and files of the host: proptest reads a seed.
            "MIRIFLAGS=-Zmiri-disable-isolation", *argv]


def _home(cache: Cache) -> pathlib.Path:
    return cache.root / "miri" / TOOLCHAIN


def _result(line: str) -> str | None:
    return line.strip() if line.startswith("test ") else None
