# SPDX-License-Identifier: GPL-2.0
"""The build root: a Debian trixie of our own, so that every machine builds with the same tools.

It is a plain folder, entered by chroot in a mount and PID namespace. Root enters directly; anybody
else through a user namespace, in which the user is the root of the folder.
"""

import ctypes
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
from collections.abc import Iterable, Sequence
from typing import TypedDict

from . import host
from .cache import REPOSITORY, Cache
from .failure import Failure
from .progress import Arguments, Step, say

SUITE = "trixie"

PACKAGES = """
    bc bindgen bison build-essential busybox-static ca-certificates cargo ccache clang codespell
    cpio file flake8 flex git gzip kmod libelf-dev libssl-dev libxen-dev lld llvm mypy pahole perl
    pkg-config python3 qemu-system-x86 qemu-system-xen rsync rust-clippy rust-src rustc rustfmt
    xen-hypervisor-4.20-amd64 xen-utils-4.20 xenstore-utils xz-utils zstd
""".split()

# Debian's kernels take the very rustc and bindgen that they were built with. The others are of the
# same version as rustc, or gone.
COMPILERS = "bindgen cargo rust-clippy rust-src rustc rustfmt".split()

# Kept inside the root: it describes that folder and vanishes with it.
STAMP = pathlib.PurePath("etc/xen-rust-build-root.json")

# A bare root has these only; everything else of the host's environment stays outside.
PASSED_ENVIRONMENT = re.compile(
    r"TERM|CACHE|CI|SOURCE_DATE_EPOCH|(http|https|ftp|all|no)_proxy|(HTTP|HTTPS|ALL|NO)_PROXY|"
    r"CARGO_(HTTP|NET|REGISTRIES|REGISTRY|SOURCE)_\w+")


class Stamp(TypedDict):
    """Contents of STAMP."""
    suite: str
    packages: list[str]


def ensure(cache: Cache) -> None:
    """Make the build root, or bring it up to date; at once when there is nothing to do."""
    if _read_stamp(cache.build_root) == _wanted_stamp():
        return
    with cache.lock("build-root"):
        present = _read_stamp(cache.build_root)
        if present == _wanted_stamp():
            return
        if present and present["suite"] == SUITE:
            _install_difference(cache, present)
        else:
            _make(cache)


def run_logged(cache: Cache, step: Step, argv: Arguments, failed: str,
               cwd: str | pathlib.Path | None = None, binds: Iterable[pathlib.Path] = ()) -> None:
    """Run ARGV in the build root as a logged step."""
    step.run(command(cache, argv, cwd=cwd, binds=binds), failed=failed)


def output(cache: Cache, argv: Arguments, cwd: str | pathlib.Path | None = None) -> str | None:
    """Run a short command in the build root and return what it prints, or None if it fails."""
    result = subprocess.run(command(cache, argv, cwd=cwd), stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False, timeout=300)
    return result.stdout if result.returncode == 0 else None


def run_attached(cache: Cache, argv: Arguments, cwd: str | pathlib.Path | None = None,
                 binds: Iterable[str | pathlib.Path] = ()) -> int:
    """Run ARGV in the build root on this process's own terminal or pipes; return its status.

    Ending this process, whichever way, ends everything that the command started.
    """
    with subprocess.Popen(command(cache, argv, cwd=cwd, binds=binds),
                          preexec_fn=_die_with_parent) as process:
        try:
            status = process.wait()
        except BaseException:
            # unshare ignores polite signals; its end takes the whole PID namespace along.
            process.kill()
            raise
    return status if status >= 0 else 128 - status


def command(cache: Cache, argv: Arguments, cwd: str | pathlib.Path | None = None,
            binds: Iterable[str | pathlib.Path] = ()) -> list[str]:
    """Return the host command that runs ARGV in the build root.

    The checkout, the cache and BINDS appear in the root at their own host paths.
    """
    root = cache.build_root
    # The cache holds the root itself, so it is bound while nothing is mounted in there yet.
    others = {pathlib.Path(folder).absolute() for folder in ("/tmp", REPOSITORY, *binds)}
    # A bind hides what was bound below it: outer folders go first, the cache before all others.
    folders = [cache.root, *sorted(others - {cache.root}, key=str)]
    lines = ["set -e"]
    for folder in folders:
        lines += [f"mkdir -p {_quote(root, folder)}",
                  f"mount --rbind {shlex.quote(str(folder))} {_quote(root, folder)}"]
    for place in ("/dev", "/sys"):
        lines.append(f"mount --rbind {place} {_quote(root, place)}")
    # Inside a container the kernel may refuse a new proc; the container's own is as good.
    lines.append(f"mount -t proc proc {_quote(root, '/proc')} 2>/dev/null || "
                 f"mount --rbind /proc {_quote(root, '/proc')}")
    for source, target in _network_files():
        # A root that has no use for one has no folder for it.
        lines.append(f"touch {_quote(root, target)} 2>/dev/null && "
                     f"mount --bind {shlex.quote(str(source))} {_quote(root, target)}")
    inner = ["chroot", str(root), "env", "-i", *_environment(cache), "sh", "-c",
             'cd "$0" && exec "$@"', str(pathlib.Path(cwd or os.getcwd()).absolute()),
             *map(str, argv)]
    # Not exec: the shell stays process 1, which reaps orphans, and the command is an ordinary
    # process that signals can end.
    lines += [shlex.join(inner) + " || exit $?", "exit 0"]
    return [*_namespace(), "sh", "-c", "\n".join(lines)]


def _quote(root: pathlib.Path, place: str | pathlib.Path) -> str:
    return shlex.quote(f"{root}{place}")


def _namespace() -> list[str]:
    """Return the command prefix under which one is root and may mount and chroot."""
    prefix = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if os.geteuid():
        prefix += ["--user", "--map-root-user", "--map-auto"]
    return prefix


def _environment(cache: Cache) -> list[str]:
    passed = [f"{name}={value}" for name, value in os.environ.items()
              if PASSED_ENVIRONMENT.fullmatch(name)]
    return passed + [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root", "LANG=C.UTF-8", f"CCACHE_DIR={cache.ccache}",
        f"CARGO_HOME={cache.cargo}", f"CARGO_TARGET_DIR={cache.target}",
    ]


def _network_files() -> list[tuple[pathlib.Path, str]]:
    """List (host file, place in the root) of what name resolution and TLS need today."""
    certificates = pathlib.Path(
        os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    pairs = [(pathlib.Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf"),
             (certificates.resolve(), "/etc/ssl/certs/ca-certificates.crt")]
    return [(source, target) for source, target in pairs if source.is_file()]


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _wanted_stamp() -> Stamp:
    return {"suite": SUITE, "packages": PACKAGES}


def _read_stamp(root: pathlib.Path) -> Stamp | None:
    try:
        stamp: Stamp = json.loads((root / STAMP).read_text(encoding="utf-8"))
        return stamp
    except (FileNotFoundError, ValueError):
        return None


def _write_stamp(root: pathlib.Path) -> None:
    """Write the stamp, last of all: a root without one is an unfinished one."""
    text = json.dumps(_wanted_stamp())
    subprocess.run([*_namespace(), "tee", str(root / STAMP)], input=text, text=True,
                   stdout=subprocess.DEVNULL, check=True)


def _make(cache: Cache) -> None:
    cache.make_folders()
    cache.require_space(15, "building everything")
    host.install_missing_tools(cache)
    _require_namespaces()
    partial = cache.root / "build-root.partial"
    remove_root(cache.build_root)
    bootstrap(cache, partial, "build root", PACKAGES)
    _write_stamp(partial)
    partial.rename(cache.build_root)


def bootstrap(cache: Cache, folder: pathlib.Path, title: str,
              packages: Sequence[str] = ()) -> None:
    """Make FOLDER a Debian system of SUITE with PACKAGES and what every such system has."""
    remove_root(folder)
    step = Step(title, cache.log / f"{title.replace(' ', '-')}.log", timeout=3600,
                follow=_AptProgress())
    proxies = [f"--aptopt={name} \"{value}\"" for name, _, value in
               (option.partition("=") for option in host.apt_proxy_options())]
    step.run(
        [*_namespace(), "mmdebstrap", "--mode=root", "--variant=minbase", "--verbose",
         f"--keyring={host.KEYRING}", *([f"--include={','.join(packages)}"] if packages else []),
         "--aptopt=APT::Install-Recommends \"false\"", *proxies,
         f"--setup-hook={_sources_hook()}", SUITE, str(folder)],
        failed=f"could not make the Debian {SUITE} {title}: is the network up, and does the "
               f"mirror carry {SUITE}? MIRROR= names another Debian mirror")


def remove_root(folder: pathlib.Path) -> None:
    """Remove a root folder, whose files may belong to any user."""
    if folder.exists():
        subprocess.run([*_namespace(), "rm", "-rf", "--one-file-system", str(folder)], check=True)


def copy_root(source: pathlib.Path, target: pathlib.Path) -> None:
    """Make TARGET a copy of a root folder."""
    remove_root(target)
    subprocess.run([*_namespace(), "cp", "-a", str(source), str(target)], check=True)


def _sources_hook() -> str:
    """Return the shell hook that completes mmdebstrap's own default list of archives.

    The default names the archives of the release, its updates and its security fixes; the hook
    puts the host's mirrors in their place where it has some, and adds the backports.
    """
    archive, security = host.debian_sites()
    script = [f"-e 's#[a-z]+://[^ ]+ ({SUITE}(-updates)? )#{archive} \\1#'"] if archive else []
    if security:
        script.append(f"-e 's#[a-z]+://[^ ]+ ({SUITE}-security )#{security} \\1#'")
    script.append(f"-e '/ {SUITE} main/{{p;s/ {SUITE} main/ {SUITE}-backports main/}}'")
    return f"sed -E -i {' '.join(script)} \"$1/etc/apt/sources.list\""


def _install_difference(cache: Cache, present: Stamp) -> None:
    added = sorted(set(PACKAGES) - set(present["packages"]))
    if added:
        say(f"build root: adding {' '.join(added)}")
        apt_update(cache, "build root")
        apt_get(cache, "build root", ["install", "--yes", *added],
                failed=f"could not add packages to the build root: {' '.join(added)}")
    _write_stamp(cache.build_root)


def apt_update(cache: Cache, title: str) -> None:
    """Fetch the archives' indexes of today: the root keeps none."""
    apt_get(cache, title, ["update"], "apt-get update failed in the build root: is the network up? "
            f"To change the mirror, remove {cache.build_root} and set MIRROR=")


def upgrade_compilers(cache: Cache) -> None:
    """Bring the Rust compilers up to what the archive has by the indexes of today."""
    with cache.lock("build-root"):
        apt_get(cache, "build root: compilers",
                ["install", "--yes", "--only-upgrade", *COMPILERS],
                failed="could not upgrade the compilers of the build root")


def apt_get(cache: Cache, title: str, arguments: Sequence[str], failed: str,
            cwd: str | pathlib.Path = "/") -> None:
    """Run apt-get in the build root."""
    options = [word for option in host.apt_proxy_options() for word in ("-o", option)]
    step = Step(title, cache.log / "build-root-apt.log", timeout=3600, follow=_AptProgress())
    run_logged(cache, step,
               ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *arguments],
               failed=failed, cwd=cwd)


class _AptProgress:
    """Counts what apt and dpkg say they did."""

    def __init__(self) -> None:
        self.fetched = 0
        self.unpacked = 0
        self.set_up = 0

    def __call__(self, line: str) -> str:
        self.fetched += line.startswith("Get:")
        self.unpacked += line.startswith("Unpacking ")
        self.set_up += line.startswith("Setting up ")
        return (f"{self.fetched} files fetched, {self.unpacked} packages unpacked, "
                f"{self.set_up} set up")


def _require_namespaces() -> None:
    """Say early and clearly when this system does not let us enter a root."""
    trial = subprocess.run([*_namespace(), "mount", "-t", "tmpfs", "none", "/mnt"],
                           capture_output=True, text=True, check=False)
    if trial.returncode == 0:
        return
    reason = (trial.stderr.strip().splitlines() or ["no reason given"])[-1]
    if os.geteuid() == 0:
        remedy = "run it where root may mount (a container needs the capability SYS_ADMIN)"
    else:
        remedy = ("run it as root, or let users make namespaces: entries in /etc/subuid and "
                  "/etc/subgid, and on Ubuntu "
                  "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`")
    raise Failure(f"this system refuses a mount namespace ({reason}); {remedy}")
