# SPDX-License-Identifier: GPL-2.0
"""Show the main job: dom0 reads, through the distribution's libxengnttab and the Rust gntdev, the
texts that a domU wrote into pages of its own memory that it granted to dom0, and answers there.
Then it does the same by dma-bufs, and ends with a picture that the domU drew, on dom0's screen.

The kernel is Debian's own, unmodified, with the module built for it, unless --config names one of
qemu-test/configs.
"""

import argparse
import sys

from xenrust import build_root, guest, kernel, preparation
from xenrust.cache import Cache

from .. import guest_kernel
from ..boot import Result, boot
from ..boot_log import Source
from ..choices import GuestType
from ..limits import BootLimits
from ..spec import Addition, Spec

# Runs in dom0. The programs are built on libxengnttab.so.1 of the build root's distribution, whose
# package and version are filled in.
SHOW = r"""
set -e -o pipefail
version=/sys/hypervisor/version
echo "Linux $(uname -r) on Xen $(cat $version/major).$(cat $version/minor)$(cat $version/extra),\
 with @LIBRARY@"
say() { printf '  %-9s%s\n' "$1" "$2"; }
say module "$(lsmod | grep -E '^xen_gntdev')"
say domains "$(xl list | awk 'NR > 1 { printf "%s%s with id %s", sep, $1, $2; sep = ", " }')"
echo
echo "Text that domain $DOMU wrote into the pages that it granted:"
read-pages | sed 's/^/  /'
echo
echo "Text that dom0 reads in a memfd of domain $DOMU, shared as a dma-buf:"
share-memfd read $DOMU | sed 's/^/  /'
echo
echo "Picture that domain $DOMU draws, shown from its own memory:"
show-frame scan-out $DOMU take-screen picture | sed 's/^/  /'
"""
LIBRARY = "libxengnttab1"
DOM0_PROGRAMS = ("read-pages", "share-memfd", "show-frame")
DOMU_PROGRAMS = ("share-pages", "share-memfd", "show-frame")
IN_DOMU = "share-pages & share-memfd grant & show-frame draw & wait"
PROGRAMS = {guest.TEST_PROGRAMS: ("read-pages", "share-pages"),
            guest.LIBRARY: ("share-memfd", "show-frame")}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qemu-test/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    types = [str(GuestType.PV), str(GuestType.PVH)]
    kernels = parser.add_mutually_exclusive_group()
    kernels.add_argument("--kernel", metavar="KERNEL", default="debian",
                         help="kernel of Debian's: 'debian' for the newest of trixie-backports, "
                              "the start of a version, or a release as 'uname -r' prints it "
                              "(default: %(default)s)")
    kernels.add_argument("--config", choices=kernel.BOOTED,
                         help="instead, a kernel that is built from qemu-test/configs")
    # A PVH domain runs by an emulation of hardware virtualization, which makes the boot of Debian's
    # kernel several times slower, and now and then ends it.
    parser.add_argument("--dom0", choices=types, help="type of dom0 (default: pv, with --config "
                                                      "pvh)")
    parser.add_argument("--domu", choices=types, help="type of the domU (default: as that of dom0)")
    return parser.parse_args()


def main() -> int:
    """Prepare and boot the machine, and return the exit status of the command in dom0."""
    options = parse_arguments()
    dom0 = GuestType(options.dom0 or (GuestType.PVH if options.config else GuestType.PV))
    cache = Cache()
    config = prepare(cache, options)
    spec = Spec(dom0=dom0, domu=GuestType(options.domu or dom0), config=config,
                limits=BootLimits(300), display=True,
                add=additions(cache, DOM0_PROGRAMS),
                run=SHOW.strip().replace("@LIBRARY@", library(cache)),
                domu_add=additions(cache, DOMU_PROGRAMS), domu_run=IN_DOMU)
    say(f"booting Xen in QEMU: {spec.describe()}")
    result = boot(spec, write_output, say)
    if result.status == 0:
        say_from_domu(result)
        print(f"The picture: {result.screen_files['picture']}", flush=True)
        say(f"done, {result.seconds:.0f} s from power-on to power-off; log {result.log}")
    else:
        for line in result.last_lines():
            say(f"    {line}")
        say(f"this did not work: {result.reason}; log {result.log}")
    return result.status


def prepare(cache: Cache, options: argparse.Namespace) -> str:
    """Fetch and build all that the boot takes; return the name of its kernel."""
    if options.config:
        preparation.with_own_kernel(cache, options.config, PROGRAMS)
        return str(options.config)
    found = preparation.with_debian_kernel(cache, options.kernel, PROGRAMS)
    return guest_kernel.debian_config(found.release)


def library(cache: Cache) -> str:
    """Package and version of the library that the programs use."""
    shown = build_root.output(cache, ["dpkg-query", "-W", "-f", "${Package} ${Version}", LIBRARY],
                              cwd="/")
    return shown or f"{LIBRARY} of an unknown version"


def additions(cache: Cache, programs: tuple[str, ...]) -> tuple[Addition, ...]:
    """Programs as additions to a guest's image."""
    return tuple((str(cache.target / "release" / name), None) for name in programs)


def say_from_domu(result: Result) -> None:
    """Print the lines that the domU's side printed on its own console."""
    print("And on the domU's console:")
    for line in result.lines:
        if line.source == Source.DOMU and line.text.startswith(tuple(f"{name}: " for name in
                                                                     DOMU_PROGRAMS)):
            print(f"  {line.text}")


def write_output(chunk: bytes) -> None:
    """Pass the command's output on."""
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Print a message for the person who waits."""
    print(text, file=sys.stderr, flush=True)
