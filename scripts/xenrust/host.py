# SPDX-License-Identifier: GPL-2.0
"""The machine that this runs on: the tools that it lacks, and the Debian mirror that it uses."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable

from .cache import Cache
from .failure import Failure
from .progress import Step, say

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def os_release() -> dict[str, str]:
    """Entries of /etc/os-release by name."""
    text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    return {key: value.strip("\"'") for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M)}


def install_missing_tools(cache: Cache) -> None:
    """Install by apt the tools that make the build root, as far as they are missing."""
    packages = []
    if not shutil.which("mmdebstrap"):
        packages.append("mmdebstrap")
    if not KEYRING.exists():
        packages.append("debian-archive-keyring")
    if not shutil.which("unshare"):
        packages.append("util-linux")
    if os.geteuid() and not shutil.which("newuidmap"):
        packages.append("uidmap")
    if not packages:
        return
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise Failure(f"this system has no apt-get; install these by hand: {names}")
    prefix = []
    if os.geteuid():
        if not shutil.which("sudo"):
            raise Failure(f"packages are missing; as root run: apt-get install {names}")
        prefix = ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]
        # A password must be asked for here: the steps below have no terminal.
        if subprocess.run([*prefix, "true"], check=False).returncode:
            raise Failure(f"sudo was refused; as root run: apt-get install {names}")
        prefix = ["sudo", "-n"]
    say(f"host: installing {names}")
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    step = Step("host packages", cache.log / "host-packages.log", timeout=1800)
    try:
        step.run([*apt, "update"], failed="apt-get update failed on this machine")
    except Failure as failure:
        # An archive that has nothing to do with us may be the broken one.
        say(f"{failure}; trying with the indexes that are there")
    step.run([*apt, "install", "--yes", "--no-install-recommends", *packages],
             failed=f"could not install {names}")


def debian_sites() -> tuple[str | None, str | None]:
    """Archive and security archive of the host's own apt configuration, None if unknown.

    A host that is not Debian names mirrors of its own distribution, which are of no use here.
    """
    if os.environ.get("MIRROR"):
        return os.environ["MIRROR"].rstrip("/"), None
    release = os_release()
    if release.get("ID") != "debian":
        return None, None
    suite = release.get("VERSION_CODENAME", "")
    sites = _indexed_sites() or _configured_sites()
    return (_site_of(sites, suite), _site_of(sites, f"{suite}-security"))


def apt_proxy_options() -> list[str]:
    """Proxies of the host's apt, as options for apt-get."""
    shown = subprocess.run(
        ["apt-config", "dump", "--format", "%f=%v%n", "Acquire::http::Proxy",
         "Acquire::https::Proxy"],
        capture_output=True, text=True, check=False) if shutil.which("apt-config") else None
    return [line for line in shown.stdout.splitlines() if line[-1:] != "="] if shown else []


def _indexed_sites() -> list[tuple[str, str]]:
    """Site and suite of each archive that apt has an index of and whose origin is Debian."""
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Origin: Debian",
         "Created-By: Packages"], capture_output=True, text=True, check=False)
    pairs = (line.partition(" ") for line in shown.stdout.splitlines())
    return [(site, suite) for site, _, suite in pairs]


def _configured_sites() -> list[tuple[str, str]]:
    """Site and suite of each configured archive, also if no index was fetched yet."""
    shown = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True,
                           check=False)
    found = re.findall(r"^'([^']+)/dists/([^']+)/InRelease'", shown.stdout, re.M)
    # An archive that also carries the updates is Debian's; others reuse the suite's name only.
    whole = {site for site, suite in found if suite.endswith(("-updates", "-security"))}
    return [pair for pair in found if pair[0] in whole] or found


def _site_of(sites: Iterable[tuple[str, str]], suite: str) -> str | None:
    return next((site.rstrip("/") for site, its_suite in sites if its_suite == suite), None)
