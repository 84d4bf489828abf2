# SPDX-License-Identifier: GPL-2.0
"""The registry of suites: a suite registers itself where it is written.

A new suite is a new file in `harness/suites`, with a function that returns the suite's jobs:

    @suite("example", order=35, lists=(SuiteList.DOM0,))
    def example(context: Context) -> list[Job]:
        \"\"\"Text for the help and the report.\"\"\"
        return [...]
"""

import enum
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from xenrust.processor import Processor

from .context import Context
from .job import Job


class SuiteList(enum.StrEnum):
    """Lists of suites that run together, most of them named after their kernel."""
    DOM0 = "dom0"
    QUICK = "quick"
    LOCKDEP = "lockdep"
    FAULT = "fault"
    KASAN = "kasan"
    DEBIAN = "debian"
    PACKAGE = "package"
    LONG = "long"
    ARM64 = "arm64"

    @property
    def kernel(self) -> str:
        """The kernel that the suites of the list boot."""
        match self:
            case SuiteList.DOM0 | SuiteList.QUICK | SuiteList.LONG:
                return "dom0"
            case SuiteList.LOCKDEP | SuiteList.FAULT | SuiteList.KASAN:
                return self.value
            case SuiteList.DEBIAN | SuiteList.PACKAGE | SuiteList.ARM64:
                return "debian"

    @property
    def processor(self) -> Processor:
        """The processor of the machines that the suites of the list boot."""
        return Processor.ARM64 if self is SuiteList.ARM64 else Processor.X86_64

    @property
    def heading(self) -> str:
        """Heading of the list in the help."""
        return {
            SuiteList.DOM0: "suites of the normal kernel",
            SuiteList.QUICK: "a choice of them that takes minutes, for each change",
            SuiteList.LOCKDEP: "suites of the kernel that checks locks and memory",
            SuiteList.FAULT: "suites of the kernel that injects failures",
            SuiteList.KASAN: "suites of the kernel that checks each access to memory",
            SuiteList.DEBIAN: "suites of Debian's own kernel, with the module built for it",
            SuiteList.PACKAGE: "suites of the package for Debian machines",
            SuiteList.LONG: "long suites, on the normal kernel",
            SuiteList.ARM64: "suites of Debian's own arm64 kernel, with the module built for it",
        }[self]


Plan = Callable[[Context], list[Job]]


@dataclass(frozen=True)
class Suite:
    """A suite of one list or of several."""
    name: str
    lists: tuple[SuiteList, ...]
    # Place in the output, from the lowest number to the highest.
    order: int
    plan: Plan

    @property
    def doc(self) -> str:
        """Description for the help and the report."""
        return " ".join((self.plan.__doc__ or "").split())


_SUITES: list[Suite] = []


def suite(name: str, order: int, lists: Iterable[SuiteList]) -> Callable[[Plan], Plan]:
    """Register the decorated function as suite NAME of the LISTS."""
    def register(plan: Plan) -> Plan:
        new = Suite(name, tuple(lists), order, plan)
        for other in _SUITES:
            shared = set(new.lists) & set(other.lists)
            if shared and (other.name == name or other.order == order):
                raise ValueError(f"{name} and {other.name} have one name or one place in a list")
        _SUITES.append(new)
        return plan
    return register


def load(package: ModuleType) -> None:
    """Import all modules of PACKAGE, in the order of their names, so that they register."""
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")


def suites_of(name: SuiteList) -> dict[str, Suite]:
    """The suites of a list by their names, in the order of the output."""
    found = [one for one in _SUITES if name in one.lists]
    return {one.name: one for one in sorted(found, key=lambda one: one.order)}
