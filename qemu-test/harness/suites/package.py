# SPDX-License-Identifier: GPL-2.0
"""The suite of the package that builds the module by DKMS. In a Debian system with nothing but the
basics it is installed, upgraded, taken along by a new kernel, failing to build, removed. That
system boots as dom0 by its own init: with the package, with a kernel that rejects the module, and
without the package."""

import copy
import dataclasses
import pathlib
import re
from collections.abc import Mapping

from xenrust import build_root, debian_kernel, dkms_package, host
from xenrust.cache import REPOSITORY
from xenrust.failure import Failure
from xenrust.kernel_source import SUPPORTED_SERIES

from .. import children, guest_kernel, limits
from ..engine import needs
from ..engine.boot_job import boot_job
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Load, Reporter
from ..engine.registry import SuiteList, suite
from ..results import Test, check, has_failed
from ..spec import Spec

NAME = "xen-gntdev-rust"
VERSIONS = ("0.1+test1", "0.1+test2")
# Packages of a dom0: the init, and Xen's tools.
DOM0_PACKAGES = ("systemd-sysv", "xen-utils-4.20")
# A kernel and the version of its package.
Kernel = tuple[str, str]


@suite("deb", order=10, lists=(SuiteList.PACKAGE,))
def deb(context: Context) -> list[Job]:
    """The package is installed, upgraded, gets new kernels, fails to build and is removed, in a
    Debian system of its own. The system boots by systemd with the module, with a kernel that
    rejects it, and without it."""
    # The boots are some of its steps, not jobs of their own.
    return [FunctionJob(lambda reporter: PackageSteps(context, reporter).run(),
                        needs=(needs.programs(context),), load=Load(2.0, 4096, 1400))]


def boot_installed(context: Context, release: str, root: pathlib.Path,
                   commands: Mapping[str, str], cmdline: str = "", setup: str = "true") -> Job:
    """The system in ROOT as a PV dom0, with its kernel RELEASE and its own init. SETUP runs before
    COMMANDS."""
    context = dataclasses.replace(context, config=guest_kernel.debian_config(release))
    spec = Spec(limits=limits.suite(context.family), system=str(root), cmdline=cmdline,
                add=needs.additions(context, *commands))
    return boot_job(context, spec, commands, 60, setup)


class PackageSteps:
    """The steps, in the order in which a machine's owner would take them."""

    def __init__(self, context: Context, reporter: Reporter) -> None:
        self.context = context
        self.reporter = reporter
        cache = context.cache
        build_root.ensure(cache)
        self.debs = [dkms_package.ensure(cache, version, cache.root / "deb-test")
                     for version in VERSIONS]
        pristine = cache.root / "clean-root"
        with cache.lock("deb-test"):
            if not (pristine / "etc/os-release").exists():
                partial = cache.root / "clean-root.partial"
                build_root.bootstrap(cache, partial, "clean root")
                partial.rename(pristine)
            self.root = cache.root / "deb-test" / "root"
            build_root.copy_root(pristine, self.root)
        # Commands run in that root instead of the build root.
        self.place = copy.copy(cache)
        self.place.build_root = self.root
        self.log = cache.log / "deb-test.log"
        self.log.unlink(missing_ok=True)
        self.printed = ""
        self.tests: list[Test] = []

    def run(self) -> list[Test]:
        """All results."""
        try:
            self.apt("update")
            older, newer, stable = self.kernels()
            self.documented()
            self.recommended()
            self.install(older)
            self.upgrade(older)
            self.unfit(stable)
            self.failing_build(older, newer)
            self.kernel_upgrade(older, newer)
            self.boot(newer[0])
            self.boot_rejecting(newer[0])
            self.remove(older, newer)
            self.boot_removed(newer[0])
            self.lint()
        except Failure as failure:
            self.tell("the steps as a whole", str(failure))
        # After a failure the system stays, to be looked at.
        if not has_failed(self.tests):
            build_root.remove_root(self.root)
        return self.tests

    def kernels(self) -> list[Kernel]:
        """Three kernels: the newest of a supported series, the next older one with another source,
        and one of an unsupported series."""
        names = self.command("apt-cache", "pkgnames", "linux-").split()
        releases = debian_kernel.releases(names, "linux-headers-")
        # Without the modules that come with a kernel, depmod has nothing to do.
        usable = [name for name in releases if f"linux-modules-{name}" in names
                  and f"linux-image-{name}" in names and _source(name) in names]
        newer = debian_kernel.choose("debian", usable)
        older = newer
        while older and (older == newer or self.version(f"linux-headers-{older}")
                         == self.version(_source(older))):
            usable.remove(older)
            older = debian_kernel.choose("debian", usable)
        stable = debian_kernel.choose("6.12", releases)
        if not newer or not older or not stable:
            raise Failure(f"the archive has too few kernels beside {newer}")
        return [(release, self.version(f"linux-headers-{release}"))
                for release in (older, newer, stable)]

    def documented(self) -> None:
        """Packages that the documentation says to install beside this one."""
        text = (REPOSITORY / "Documentation/xen/gntdev-debian.rst").read_text(encoding="utf-8")
        command = _first(r"^  apt install (linux-(?:.*\\\n)*.*)$", text)
        self.apt("install", "--simulate", *command.replace("\\\n", " ").split(),
                 str(self.debs[0]))
        found = re.findall(r"^Inst linux-(image|headers|source)-(\d+\.\d+)\S* \((\S+) ",
                           self.printed, re.M)
        self.check("kernel, headers and source come in one version that the driver is for",
                   {kind for kind, _, _ in found} == {"image", "headers", "source"}
                   and len({version for _, _, version in found}) == 1
                   # SERIES 7.2/7.3: the documented command may install either.
                   and {series for _, series, _ in found} <= set(SUPPORTED_SERIES))

    def recommended(self) -> None:
        """Packages that come along as apt is set at first."""
        self.apt("install", "--simulate", "--install-recommends", str(self.debs[0]))
        kernels = re.findall(r"^Inst linux-(?:headers|image|source)-(\d+\.\d+)", self.printed, re.M)
        self.check("no kernel is recommended that the driver is not for",
                   f"Inst {dkms_package.PACKAGE} " in self.printed
                   # SERIES 7.2/7.3: apt may choose either.
                   and set(kernels) <= set(SUPPORTED_SERIES))

    def install(self, older: Kernel) -> None:
        """Install on a machine whose kernel fits, without its headers and with the newest
        source."""
        release, version = older
        self.apt("install", f"linux-modules-{release}", str(self.debs[0]))
        self.check("of a kernel without headers apt says that they are missing", re.search(
            rf"not for {re.escape(release)}: its headers are not installed: apt install "
            rf"{re.escape('linux-headers-' + release)}$", self.printed, re.M))
        self.apt("install", f"linux-headers-{release}")
        wanted = re.escape(f"apt install {_source(release)}={version}")
        self.check("without the kernel's source apt says which version is missing",
                   re.search(rf"not for {re.escape(release)}: it is of version "
                             rf"{re.escape(version)}, .*{wanted}$", self.printed, re.M))
        self.apt("install", "--allow-downgrades", f"{_source(release)}={version}")
        self.check("installing builds the module for a kernel that fits",
                   self.is_built(release, VERSIONS[0]))
        vermagic = self.command("modinfo", "-F", "vermagic", "-k", release, "xen_gntdev_rust")
        self.check("the module is for that kernel", vermagic.split(" ")[0] == release)
        self.check("modprobe xen-gntdev means the Rust driver", self.is_preferred(release))

    def upgrade(self, older: Kernel) -> None:
        """A newer version of the package."""
        self.apt("install", str(self.debs[1]))
        self.check("an upgrade builds the new version", self.is_built(older[0], VERSIONS[1]))
        self.check("an upgrade leaves nothing of the old version",
                   VERSIONS[0] not in self.command("dkms", "status")
                   and not (self.root / "usr/src" / f"{NAME}-{VERSIONS[0]}").exists())
        self.check("an upgrade does not make the metadata again",
                   "Rust metadata" not in self.build_log(older[0]))

    def unfit(self, stable: Kernel) -> None:
        """A kernel that does not fit beside the one that does."""
        self.apt("install", f"linux-headers-{stable[0]}")
        self.check("for a kernel of another series apt says why there is no module",
                   re.search(rf"not for {re.escape(stable[0])}: .*series", self.printed))
        self.check("DKMS says of no failure", "Autoinstall on" in self.printed
                   and not re.search("bad exit status|Failed command|Error!", self.printed))
        self.check("there is none", not self.is_built(stable[0], VERSIONS[1]))

    def failing_build(self, older: Kernel, newer: Kernel) -> None:
        """A new kernel, with its source, for which the module fits and does not build."""
        release, version = newer
        file = self.driver_source()
        whole = file.read_text(encoding="utf-8")
        file.write_text(f"{whole}\nno Rust\n", encoding="utf-8")
        self.apt("install", f"linux-modules-{release}", f"linux-headers-{release}",
                 f"{_source(release)}={version}")
        file.write_text(whole, encoding="utf-8")
        self.check("a build that fails does not keep a kernel from being installed",
                   self.is_configured(f"linux-headers-{release}")
                   and "bad exit status: 77" in self.printed)
        self.check("apt says that there is no module", re.search(
            rf"^{NAME}: no module for {re.escape(release)}, Linux's own", self.printed, re.M))
        self.check("apt says why, and names the logs",
                   self.names_log(rf"^{NAME}: the module does not build .*; log (/\S+)$", "no Rust")
                   and self.names_log(rf"^{NAME}: the log is (/\S+)$", "does not build"))
        self.check("the kernel has none", not self.is_built(release, VERSIONS[1]))
        self.check("the old kernel keeps its own", self.is_built(older[0], VERSIONS[1]))

    def kernel_upgrade(self, older: Kernel, newer: Kernel) -> None:
        """A new kernel for which the module builds. For the old one, the administrator has taken it
        out."""
        self.command("dkms", "uninstall", "-m", NAME, "-v", VERSIONS[1], "-k", older[0])
        self.apt("install", "--reinstall", f"linux-headers-{newer[0]}")
        self.check("a kernel upgrade builds the module for the new kernel",
                   self.is_built(newer[0], VERSIONS[1]))
        self.check("what the administrator took out stays out",
                   not self.is_built(older[0], VERSIONS[1])
                   and ": built" in self.command("dkms", "status", "-k", older[0]))

    def boot(self, release: str) -> None:
        """The system as dom0 of a machine, with the module that DKMS has installed."""
        self.apt("install", f"linux-binary-{release}", *DOM0_PACKAGES)
        # By default it is oxenstored, which makes no use of the device.
        self.command("sh", "-c", 'echo "XENSTORED=$(ls /usr/lib/xen-*/bin/xenstored)" '
                     ">>/etc/default/xen")
        # Xen's init script loads no driver for granting, which dmabuf-self needs.
        self.tests += boot_installed(self.context, release, self.root, {
            "installed-system": "installed-system rust",
            "dmabuf-self": "dmabuf-self libxengnttab",
        }, setup="modprobe xen-gntalloc").run(self.reporter)

    def boot_rejecting(self, release: str) -> None:
        """The same with a kernel that loads no module without a signature by a key that it knows.
        systemd-modules-load requests the driver, before Xen's init script does."""
        signer = self.command("modinfo", "-F", "signer", "-k", release, "xen_gntdev_rust")
        self.check("DKMS signs the module by a key of the machine's own", signer.strip())
        self.tests += boot_installed(
            self.context, release, self.root, {"installed-system": "installed-system refused"},
            "module.sig_enforce=1 modules-load=xen-gntdev").run(self.reporter)

    def boot_removed(self, release: str) -> None:
        """The next boot after the package was removed."""
        self.tests += boot_installed(self.context, release, self.root, {
            "installed-system": "installed-system c"}).run(self.reporter)

    def remove(self, *kernels: Kernel) -> None:
        """The end."""
        self.apt("remove", dkms_package.PACKAGE)
        self.check("removing leaves no module",
                   not any(self.is_built(release, VERSIONS[1]) for release, _ in kernels)
                   and not list((self.root / "var/lib/dkms").glob(NAME)))
        self.check("removing leaves no configuration", not self.is_preferred(kernels[0][0]))
        self.check("removing leaves no files",
                   not (self.root / "var/cache" / NAME).exists()
                   and not list((self.root / "usr/src").glob(f"{NAME}-*")))
        self.apt("purge", dkms_package.PACKAGE)
        left = self.command("dpkg", "-l", dkms_package.PACKAGE, fails=True)
        self.check("purging ends what dpkg knows of it", not re.search(r"^.[ic]", left, re.M))

    def lint(self) -> None:
        """Complaints of Debian's own checker about the package."""
        self.apt("install", "--download-only", "lintian")
        # The certificates of this machine are mounted where one of the packages writes its own.
        self.command("sh", "-c", "umount /etc/ssl/certs/ca-certificates.crt 2>/dev/null; "
                     "DEBIAN_FRONTEND=noninteractive apt-get --yes --no-install-recommends "
                     "install lintian")
        found = self.command("sh", "-c", "lintian --allow-root --fail-on error "
                             f"{self.debs[1]}; echo lintian ended with $?")
        errors = re.findall(r"^E: .*$", found, re.M)
        self.tell("lintian finds no error", "; ".join(errors) if errors
                  else "" if found.endswith("lintian ended with 0\n") else f"log {self.log}")

    def driver_source(self) -> pathlib.Path:
        """A file of the driver, as the package brought it."""
        return (self.root / "usr/src" / f"{NAME}-{VERSIONS[1]}" / "drivers/xen/gntdev"
                / "gntdev.rs")

    def is_configured(self, package: str) -> bool:
        """True if dpkg reports the package as installed and configured."""
        return self.command("dpkg-query", "-W", "-f", "${db:Status-Abbrev}",
                            package).strip() == "ii"

    def names_log(self, pattern: str, text: str) -> bool:
        """True if apt named a log by PATTERN, and TEXT is in it."""
        found = re.search(pattern, self.printed, re.M)
        if not found:
            return False
        file = self.root / found[1].lstrip("/")
        return file.exists() and text in file.read_text(encoding="utf-8")

    def is_built(self, release: str, version: str) -> bool:
        """True if DKMS and depmod have the module of that version for the kernel."""
        status = self.command("dkms", "status", "-k", release, fails=True)
        found = list((self.root / "usr/lib/modules" / release / "updates").rglob(
            "xen_gntdev_rust.ko*"))
        return bool(found) and f"{NAME}/{version}, {release}" in status

    def is_preferred(self, release: str) -> bool:
        """True if modprobe would load ours when it is asked for Linux's own driver."""
        shown = self.command("sh", "-c", f"modprobe --set-version {release} --showconfig | "
                             "grep '^install xen_gntdev ' || true")
        return "xen_gntdev_rust" in shown

    def build_log(self, release: str) -> str:
        """Output of the last build for a kernel."""
        file = self.root / "var/lib/dkms" / NAME / VERSIONS[1] / release / "x86_64/log/make.log"
        if not file.exists():
            raise Failure(f"there is no {file}")
        return file.read_text(encoding="utf-8")

    def version(self, package: str) -> str:
        """The version of PACKAGE that apt would install."""
        return _first(r"^Version: (.*)$",
                      self.command("apt-cache", "show", "--no-all-versions", package))

    def apt(self, *arguments: str) -> None:
        """Run apt-get, which must succeed. On a terminal of its own dpkg would end lines by CR LF,
        and patterns would not find the end of a line."""
        options = [*host.apt_proxy_options(), "Dpkg::Use-Pty=0"]
        self.printed = self.command(
            "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes",
            "--no-install-recommends", *(word for option in options for word in ("-o", option)),
            *arguments)

    def command(self, *argv: str, fails: bool = False) -> str:
        """Output of a command in the root. It may fail only if FAILS says so."""
        self.reporter.progress(" ".join(argv))
        result = children.run(build_root.command(self.place, argv, cwd="/"),
                              limits.PACKAGE_COMMAND)
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(argv)}\n{result.text}")
        if result.status and not fails:
            raise Failure(f"'{' '.join(argv)}' ended with status {result.status}; "
                          f"log {self.log}")
        return result.text

    def check(self, name: str, good: object) -> None:
        """One result."""
        self.tell(name, "" if good else f"is not so; log {self.log}")

    def tell(self, name: str, reason: str) -> None:
        """One result, a failure if there is a REASON for it."""
        test = check(name, not reason, reason)
        self.tests.append(test)
        self.reporter.test(test)


def _first(pattern: str, text: str) -> str:
    """The group of PATTERN where TEXT matches it first."""
    found = re.search(pattern, text, re.M)
    if not found:
        raise Failure(f"nothing matches '{pattern}'")
    return str(found[1])


def _source(release: str) -> str:
    return f"linux-source-{debian_kernel.series(release)}"
