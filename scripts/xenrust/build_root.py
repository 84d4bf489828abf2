# SPDX-License-Identifier: GPL-2.0
"""The build root: a Debian trixie of our own, so that every machine builds with the same tools.

It is a plain folder, entered by chroot in a mount and PID namespace. Root enters directly; anybody
else through a user namespace, in which the user is the root of the folder.
"""

import ctypes
import enum
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
from .processor import Processor, of_this_machine
from .progress import Arguments, Step

SUITE = "trixie"


class Purpose(enum.IntEnum):
    """Purposes of the build root. Each includes those before it, so that the root can be used for
    one while the packages of the next are installed."""
    # Fetching and unpacking packages and sources.
    FETCH = 1
    # Building modules for Debian's kernels and programs for guests, and booting them.
    BOOT = 2
    # Building kernels, all checks and all tests.
    ALL = 3


PACKAGES = {
    Purpose.FETCH: "ca-certificates xz-utils".split(),
    Purpose.BOOT: """
        bc bindgen bison build-essential busybox-static cargo cpio file flex gzip kmod libelf-dev
        libssl-dev libxen-dev pahole perl pkg-config python3 rust-src rustc xen-utils-4.20
        xenstore-utils zstd
    """.split(),
    Purpose.ALL: """
        ccache clang codespell flake8 git lld llvm mypy rsync rust-clippy rustfmt
    """.split(),
}
# Further ones, by the processor of this machine.
NATIVE_PACKAGES: dict[Processor, dict[Purpose, tuple[str, ...]]] = {
    Processor.X86_64: {
        Purpose.BOOT: ("qemu-system-x86", "xen-hypervisor-4.20-amd64"),
        Purpose.ALL: ("qemu-system-xen",),
    },
    Processor.ARM64: {
        Purpose.BOOT: ("device-tree-compiler", "qemu-system-arm", "xen-hypervisor-4.20-arm64"),
    },
}
# The emulator of another processor and the tools that build for it, from Purpose.BOOT on. They are
# installed only when a guest of that processor is asked for.
FOREIGN_PACKAGES = {
    Processor.ARM64: ("device-tree-compiler", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross",
                      "qemu-system-arm"),
}

# Modules for Debian's kernels need the very rustc and bindgen that the kernel was built with. The
# others must be of the same version as rustc.
COMPILERS = "bindgen cargo rust-clippy rust-src rustc rustfmt".split()

# Roots whose indexes of the archives this process has fetched.
_roots_with_indexes: set[pathlib.Path] = set()

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


def ensure(cache: Cache, purpose: Purpose = Purpose.ALL,
           processor: Processor | None = None) -> None:
    """Make the build root fit for PURPOSE with guests of PROCESSOR, this machine's by default; at
    once when there is nothing to do."""
    wanted = packages_for(purpose, processor)
    if _fits(_read_stamp(cache.build_root), wanted):
        return
    with cache.lock("build-root"):
        present = _read_stamp(cache.build_root)
        if not present or present["suite"] != SUITE:
            present = _make(cache)
        if not _fits(present, wanted):
            _install_difference(cache, present, wanted)


def packages_for(purpose: Purpose, processor: Processor | None = None) -> list[str]:
    """Packages of the build root for PURPOSE with guests of PROCESSOR."""
    native = of_this_machine()
    wanted = [package for each in Purpose if each <= purpose
              for package in (*PACKAGES[each], *NATIVE_PACKAGES[native].get(each, ()))]
    if processor not in (None, native) and purpose >= Purpose.BOOT:
        if processor not in FOREIGN_PACKAGES:
            raise Failure(f"guests of the processor {processor} do not run on {native} machines")
        wanted += FOREIGN_PACKAGES[processor]
    return sorted(wanted)


def run_logged(cache: Cache, step: Step, argv: Arguments, failed: str,
               cwd: str | pathlib.Path | None = None, binds: Iterable[pathlib.Path] = ()) -> None:
    """Run ARGV in the build root as a logged step."""
    step.run(command(cache, argv, cwd=cwd, binds=binds), failed=failed)


def output(cache: Cache, argv: Arguments, cwd: str | pathlib.Path | None = None) -> str | None:
    """Standard output of a short command in the build root; None if it fails."""
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
    """Host command that runs ARGV in the build root.

    The checkout, the cache and BINDS appear in the root at their own host paths.
    """
    root = cache.build_root
    # The cache holds the root itself, so it is bound while nothing is mounted in there yet.
    others = {pathlib.Path("/tmp"), REPOSITORY,
              *(pathlib.Path(folder).absolute() for folder in binds)}
    # A bind hides earlier ones below it: outer folders go first, the cache before all others.
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
        # A root without the folder for one has no use for it.
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
    """Command prefix that makes a process root and lets it mount and chroot."""
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
        # By default ccache runs the preprocessor before each compilation that it has not seen: a
        # fifth to a third of the time of a kernel object. The compiler's list of headers will do.
        "CCACHE_DEPEND=1",
        f"CARGO_HOME={cache.cargo}", f"CARGO_TARGET_DIR={cache.target}",
    ]


def _network_files() -> list[tuple[pathlib.Path, str]]:
    """Host file and place in the root of each file that name resolution and TLS need."""
    certificates = pathlib.Path(
        os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    pairs = [(pathlib.Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf"),
             (certificates.resolve(), "/etc/ssl/certs/ca-certificates.crt")]
    return [(source, target) for source, target in pairs if source.is_file()]


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _fits(stamp: Stamp | None, wanted: Sequence[str]) -> bool:
    return bool(stamp and stamp["suite"] == SUITE and set(wanted) <= set(stamp["packages"]))


def _read_stamp(root: pathlib.Path) -> Stamp | None:
    try:
        stamp: Stamp = json.loads((root / STAMP).read_text(encoding="utf-8"))
        return stamp
    except (FileNotFoundError, ValueError):
        return None


def _write_stamp(root: pathlib.Path, stamp: Stamp) -> None:
    """Write the stamp, last of all: a root without one is an unfinished one."""
    subprocess.run([*_namespace(), "tee", str(root / STAMP)], input=json.dumps(stamp), text=True,
                   stdout=subprocess.DEVNULL, check=True)


def _make(cache: Cache) -> Stamp:
    """Make a root that can fetch the rest by itself."""
    cache.make_folders()
    cache.require_space(4, "the build root")
    host.install_missing_tools(cache)
    _require_namespaces()
    partial = cache.root / "build-root.partial"
    remove_root(cache.build_root)
    stamp: Stamp = {"suite": SUITE, "packages": packages_for(Purpose.FETCH)}
    bootstrap(cache, partial, "build root", stamp["packages"], keep_indexes=True)
    _write_stamp(partial, stamp)
    partial.rename(cache.build_root)
    note_new_indexes(cache.build_root)
    return stamp


def bootstrap(cache: Cache, folder: pathlib.Path, title: str,
              packages: Sequence[str] = (), keep_indexes: bool = False,
              unpack_only: Processor | None = None) -> None:
    """Make FOLDER a Debian system of SUITE with PACKAGES and the essential ones; KEEP_INDEXES lets
    its apt go on without fetching the archives' indexes again.

    UNPACK_ONLY names another processor: PACKAGES for it and those that they depend on are unpacked,
    and nothing of them is run."""
    remove_root(folder)
    variant = (["--variant=extract", f"--architectures={unpack_only.names.debian}"] if unpack_only
               else ["--variant=minbase"])
    step = Step(title, cache.log / f"{title.replace(' ', '-')}.log", timeout=3600,
                follow=_AptProgress())
    proxies = [f"--aptopt={name} \"{value}\"" for name, _, value in
               (option.partition("=") for option in host.apt_proxy_options())]
    step.run(
        [*_namespace(), "mmdebstrap", "--mode=root", *variant, "--verbose",
         # A root costs less to make anew after a crash than fsync() of each of its files.
         "--dpkgopt=force-unsafe-io",
         f"--keyring={host.KEYRING}", *([f"--include={','.join(packages)}"] if packages else []),
         "--aptopt=APT::Install-Recommends \"false\"", *proxies,
         *(["--skip=cleanup/apt/lists"] if keep_indexes else []),
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
    """Shell hook that completes mmdebstrap's own default list of archives.

    The default names the archives of the release, its updates and its security fixes; the hook
    puts the host's mirrors in their place where it has some, and adds the backports.
    """
    archive, security = host.debian_sites()
    script = [f"-e 's#[a-z]+://[^ ]+ ({SUITE}(-updates)? )#{archive} \\1#'"] if archive else []
    if security:
        script.append(f"-e 's#[a-z]+://[^ ]+ ({SUITE}-security )#{security} \\1#'")
    script.append(f"-e '/ {SUITE} main/{{p;s/ {SUITE} main/ {SUITE}-backports main/}}'")
    return f"sed -E -i {' '.join(script)} \"$1/etc/apt/sources.list\""


def _install_difference(cache: Cache, present: Stamp, wanted: Sequence[str]) -> None:
    added = sorted(set(wanted) - set(present["packages"]))
    title = f"build root: adding {' '.join(added) if len(added) < 4 else f'{len(added)} packages'}"
    apt_update(cache)
    apt_get(cache, title, ["install", "--yes", *added],
            failed=f"could not add packages to the build root: {' '.join(added)}")
    _write_stamp(cache.build_root,
                 {"suite": SUITE, "packages": sorted({*present["packages"], *added})})


def note_new_indexes(root: pathlib.Path) -> None:
    """Note that ROOT was made just now, with the archives' indexes of today."""
    _roots_with_indexes.add(root)


def apt_update(cache: Cache, processor: Processor | None = None) -> None:
    """Fetch the archives' indexes of today of packages for PROCESSOR, if this process has not done
    so yet."""
    root = cache.packages_of(processor or of_this_machine())
    with cache.lock("apt-indexes"):
        if root not in _roots_with_indexes:
            apt_get(cache, "archive indexes", ["update"],
                    "apt-get update failed in the build root: is the network up? "
                    f"To change the mirror, remove {root} and set MIRROR=", processor=processor)
            note_new_indexes(root)


def upgrade_compilers(cache: Cache) -> None:
    """Bring the Rust compilers up to those of the archive by the indexes of today."""
    ensure(cache, Purpose.BOOT)
    with cache.lock("build-root"):
        apt_get(cache, "build root: compilers",
                ["install", "--yes", "--only-upgrade", *COMPILERS],
                failed="could not upgrade the compilers of the build root")


def apt_download(cache: Cache, title: str, packages: Sequence[str], folder: pathlib.Path,
                 processor: Processor | None = None) -> None:
    """Download packages for PROCESSOR to FOLDER. Other packages may be installed meanwhile."""
    apt_get(cache, title, ["download", *packages], cwd=folder, processor=processor,
            failed=f"could not download {' '.join(packages)}: is the network up?")


def apt_cache(cache: Cache, arguments: Sequence[str],
              processor: Processor | None = None) -> str | None:
    """Output of apt-cache about packages for PROCESSOR; None if it fails."""
    options = [word for option in _apt_options(cache, processor) for word in ("-o", option)]
    return output(cache, ["apt-cache", *options, *arguments], cwd="/")


def _apt_options(cache: Cache, processor: Processor | None) -> list[str]:
    """Options by which apt has the packages for PROCESSOR. Those for another one than this
    machine's, and their indexes, are those of a root of their own, whose programs do not run."""
    if processor is None or processor.is_native:
        return []
    name = processor.names.debian
    return [f"Dir={cache.packages_of(processor)}", f"APT::Architecture={name}",
            f"APT::Architectures={name}", "Dir::Etc::Trusted=/etc/apt/trusted.gpg",
            "Dir::Etc::TrustedParts=/etc/apt/trusted.gpg.d"]


def apt_get(cache: Cache, title: str, arguments: Sequence[str], failed: str,
            cwd: str | pathlib.Path = "/", processor: Processor | None = None) -> None:
    """Run apt-get in the build root, for packages of PROCESSOR."""
    options = [word for option in (*host.apt_proxy_options(), *_apt_options(cache, processor))
               for word in ("-o", option)]
    step = Step(title, cache.log / f"apt-get-{arguments[0]}.log", timeout=3600,
                follow=_AptProgress())
    argv = ["apt-get", *options, *arguments]
    if "install" in arguments:
        # apt-get refuses to go on where an interrupted run has left packages unconfigured.
        argv = ["sh", "-c", 'dpkg --configure -a && exec "$@"', "sh", *argv]
    run_logged(cache, step, ["env", "DEBIAN_FRONTEND=noninteractive", *argv], failed=failed,
               cwd=cwd)


class _AptProgress:
    """Numbers of files and packages in the output of apt and dpkg."""

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
    """Stop early, with the remedy, on a system that refuses mount namespaces."""
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
