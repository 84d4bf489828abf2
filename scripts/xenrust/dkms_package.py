# SPDX-License-Identifier: GPL-2.0
"""The Debian package that builds the module on the machine that uses it (DKMS).

It carries the same sources and the same scripts as this repository, in the same folders.
"""

import email.utils
import gzip
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping

from . import build_root, kernel_fit
from .cache import REPOSITORY, Cache
from .failure import Failure
from .kernel_source import SUPPORTED_SERIES
from .progress import Step

PACKAGE = "xen-gntdev-rust-dkms"
TEMPLATES = REPOSITORY / "scripts" / "debian"
VERSION = "0.1"

# Sources that a build reads. The modules for tests and the Kconfig files belong to a kernel tree.
SOURCES = ("drivers/xen/gntdev", "drivers/xen/rust", "include", "scripts/xenrust")
SCRIPT = "scripts/build-installed"
# The script that DKMS runs, which runs the former.
STEP = "scripts/pre-build"
LEFT_OUT = re.compile(r"Kconfig|kunit|test|\w*kunit\.rs|\..*|.*\.pyc|__pycache__|.*~")

# Templates of the package's control files: name, mode, and True if comments stay.
CONTROL_FILES = {"control": (0o644, False), "triggers": (0o644, False), "postinst": (0o755, True),
                 "prerm": (0o755, True), "postrm": (0o755, True)}


def ensure(cache: Cache, version: str | None = None,
           output: str | pathlib.Path | None = None) -> pathlib.Path:
    """Make the package of VERSION, by default of the last commit, and return its file."""
    version = version or default_version()
    output = pathlib.Path(output or cache.root / "deb").absolute()
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"{PACKAGE}_{version}_all.deb"
    with cache.lock("deb"), tempfile.TemporaryDirectory(prefix="xen-deb-") as name:
        folder = pathlib.Path(name) / "package"
        assemble(folder, version)
        log = cache.log / "deb.log"
        log.unlink(missing_ok=True)
        _pack(cache, Step("package", log, timeout=300), folder, file)
    return file


def _pack(cache: Cache, step: Step, folder: pathlib.Path, file: pathlib.Path) -> None:
    """Make FILE of FOLDER by this machine's dpkg-deb, or by the build root's if there is none."""
    argv = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(folder), str(file)]
    failed = "the package cannot be made"
    if shutil.which(argv[0]):
        step.run(argv, failed=failed)
        return
    build_root.ensure(cache, build_root.Purpose.FETCH)
    build_root.run_logged(cache, step, argv, failed=failed, cwd="/",
                          binds=[file.parent, folder.parent])


def default_version() -> str:
    """Version that grows with each commit."""
    return time.strftime(f"{VERSION}+%Y%m%d.%H%M%S", time.gmtime(_commit_time()))


def assemble(folder: pathlib.Path, version: str) -> None:
    """Put the files of the package together in FOLDER, as dpkg-deb wants them."""
    if not re.fullmatch(r"\d[A-Za-z0-9.+~]*", version):
        raise Failure(f"'{version}' is no version for a package: a digit comes first, then "
                      "letters, digits and .+~")
    source = folder / "usr/src" / f"xen-gntdev-rust-{version}"
    for path in SOURCES:
        shutil.copytree(REPOSITORY / path, source / path, ignore=_left_out)
    _write(source / SCRIPT, _for_debian((REPOSITORY / SCRIPT).read_bytes()))
    words = {"VERSION": version, "MAINTAINER": _maintainer(),
             "YEAR": time.strftime("%Y", time.gmtime(_commit_time())),
             # SERIES 7.2/7.3: DKMS builds for kernels of both.
             "SERIES": "|".join(series.replace(".", "[.]") for series in SUPPORTED_SERIES),
             "OPTIONS": " ".join(kernel_fit.NEEDED_OPTIONS)}
    _write(source / STEP, _template("pre-build", words))
    _write(source / "dkms.conf", _template("dkms.conf", words))
    _write(folder / "usr/lib/modprobe.d/xen-gntdev-rust.conf", _template("modprobe.conf", words))
    documents = folder / "usr/share/doc" / PACKAGE
    _write(documents / "copyright", _template("copyright", words))
    _write(documents / "changelog.gz", gzip.compress(_changelog(words), mtime=0))
    for name in ("gntdev-debian.rst",):
        _write(documents / f"{name}.gz", gzip.compress(
            (REPOSITORY / "Documentation/xen" / name).read_bytes(), mtime=0))
    for place in sorted(folder.rglob("*")):
        executable = place.is_dir() or place in (source / SCRIPT, source / STEP)
        place.chmod(0o755 if executable else 0o644)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    words["SIZE"] = str(sum(path.stat().st_size for path in files) // 1024 + 1)
    sums = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
                   for path in files)
    _write(folder / "DEBIAN/md5sums", sums.encode())
    for name, (mode, comments) in CONTROL_FILES.items():
        _write(folder / "DEBIAN" / name, _template(name, words, comments))
        (folder / "DEBIAN" / name).chmod(mode)
    (folder / "DEBIAN").chmod(0o755)


def _left_out(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if LEFT_OUT.fullmatch(name)]


def _for_debian(script: bytes) -> bytes:
    """Script as it runs in the package: by the Python that the package depends on, which need not
    be the first one on the PATH of a hook."""
    return re.sub(rb"^#!/usr/bin/env (-S )?python3\b", b"#!/usr/bin/python3", script, count=1)


def _template(name: str, words: Mapping[str, str], comments: bool = True) -> bytes:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    if not comments:
        text = re.sub(r"^#.*\n", "", text, flags=re.M)
    return text.encode()


def _write(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _changelog(words: Mapping[str, str]) -> bytes:
    date = email.utils.formatdate(_commit_time())
    return (f"xen-gntdev-rust ({words['VERSION']}) unstable; urgency=medium\n\n"
            f"  * Of the sources of this version.\n\n"
            f" -- {words['MAINTAINER']}  {date}\n").encode()


def _maintainer() -> str:
    """Name and address of the person who builds the package."""
    name = os.environ.get("DEBFULLNAME") or _git("config", "user.name") or "Local builder"
    address = os.environ.get("DEBEMAIL") or _git("config", "user.email") or "root@localhost"
    return f"{name} <{address}>"


def _commit_time() -> int:
    """Time of the last commit; outside of a clone that of the newest source."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    committed = _git("log", "-1", "--format=%ct")
    if committed:
        return int(committed)
    return int(max(path.stat().st_mtime for name in SOURCES
                   for path in (REPOSITORY / name).rglob("*")))


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", "-C", str(REPOSITORY), "-c", f"safe.directory={REPOSITORY}", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
