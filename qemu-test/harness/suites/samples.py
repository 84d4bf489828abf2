# SPDX-License-Identifier: GPL-2.0
"""The suites of samples/xen, and of a graphics card as an importer and as an exporter."""

import functools
import re
from collections.abc import Callable

from xenrust import build_root
from xenrust.failure import Failure

from .. import children, limits, picture
from ..boot import Result, boot
from ..choices import Driver, GuestType
from ..engine import boot_job, needs
from ..engine.context import Context
from ..engine.job import FunctionJob, Job, Reporter, SkippedJob
from ..engine.log_results import check_log
from ..engine.registry import SuiteList, suite
from ..picture import Picture
from ..results import FAILED, Test, check
from ..spec import Spec
from .gntdev import gntdev_boot

# The looks before and after prove that the comparison can fail.
SCRIPT = """
set -e
echo "domain $DOMU"
share-memfd read $DOMU
take-screen before
show-frame scan-out $DOMU take-screen during
take-screen after
"""
IN_DOMU = "share-memfd grant & show-frame draw; wait"
PROGRAMS = ("share-memfd", "show-frame")

# The rules look into the memory of the card, which the kernel otherwise keeps for the driver.
CARD_MEMORY = "iomem=relaxed"
CARD_SECONDS = 130

DOMAIN = re.compile(r"^domain (\d+)$", re.M)
MEMFD_LINES = (r"^grant \d+: page 3 of a memfd of domain {}$",
               r"^grant \d+: the same page, after the domU has changed it$")


@suite("samples", order=110, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def paravirtual(context: Context) -> list[Job]:
    """A PV dom0 reads a PV domU's memfd and shows its picture on a screen; its card imports grants
    and has its own memory granted."""
    return _samples(context, GuestType.PV)


@suite("samples-pvh", order=120, lists=(SuiteList.DOM0, SuiteList.DEBIAN))
def auto_translated(context: Context) -> list[Job]:
    """A PVH dom0 reads a PVH domU's memfd and shows its picture on a screen; its card imports
    grants and has its own memory granted."""
    return _samples(context, GuestType.PVH)


def _samples(context: Context, guests: GuestType) -> list[Job]:
    card = gntdev_boot(context, guests, CARD_SECONDS, "dmabuf-card", title="card", display=True,
                       cmdline=CARD_MEMORY)
    if context.gntdev == Driver.C:
        return [SkippedJob("the samples", "Linux's C driver cannot export a dma-buf on x86"), card]
    spec = Spec(dom0=guests, domu=guests, gntdev=context.gntdev, events=context.events,
                config=context.config, watched=context.watched, display=True,
                limits=limits.suite(context.family),
                run=SCRIPT.strip(), domu_run=IN_DOMU, add=needs.additions(context, *PROGRAMS),
                domu_add=needs.additions(context, *PROGRAMS))
    return [FunctionJob(functools.partial(run, context, spec), title="programs",
                        needs=(needs.programs(context), needs.kernel(context)),
                        load=boot_job.load_of(spec, 40)),
            card]


def run(context: Context, spec: Spec, reporter: Reporter) -> list[Test]:
    """Boot SPEC, which runs the samples, and look at the screen."""
    result = boot(spec, on_progress=reporter.progress)
    for death in result.deaths:
        reporter.note(f"{death.reason}, not a failure of the samples: started again; log "
                      f"{death.log}")
    reporter.note(f"{spec.describe()}: {result.seconds:.0f} s, log {result.log}")
    tests = read_samples(result, functools.partial(_expected_picture, context))
    for test in tests:
        reporter.test(test)
    return tests + check_log(context, result, reporter)


def _expected_picture(context: Context, domid: str) -> Picture:
    """The picture that the same program draws on the host, into a file."""
    drawn = children.run(
        build_root.command(context.cache,
                           [needs.program_folder(context) / "show-frame", "ppm", domid], cwd="/"),
        limits.SHORT_COMMAND)
    if drawn.status:
        raise Failure(f"show-frame ended with status {drawn.status}: {drawn.text}")
    return picture.read_ppm(drawn.output)


def read_samples(result: Result, expect: Callable[[str], Picture]) -> list[Test]:
    """Results of the samples' boot. EXPECT draws the picture of a domain."""
    output = result.stdout.decode(errors="replace").replace("\r", "")
    reason = f"{result.reason}; log {result.log}"
    domid = DOMAIN.search(output)
    if not domid:
        return [Test("the samples as a whole", FAILED, f"did not run: {reason}")]
    expected = expect(domid[1])

    def difference(name: str) -> str | None:
        """Difference of the screen from the picture; None if it showed the picture."""
        taken = result.screens.get(name)
        return picture.difference(taken, expected) if taken else f"nobody took it: {reason}"

    during = difference("during")
    return [
        check("dom0 reads the domU's memfd, and what the domU changes there", all(
            re.search(line.format(domid[1]), output, re.M) for line in MEMFD_LINES), reason),
        check("the screen shows what the domU drew, pixel by pixel", during is None, during or ""),
        *(check(f"the screen shows something else {name}",
                name in result.screens and difference(name),
                f"it shows the picture, or nobody took it: {reason}")
          for name in ("before", "after")),
        check("both sides end, and all grants with them", result.status == 0, reason)]
