# SPDX-License-Identifier: GPL-2.0
"""A runner of the Python unit tests below a folder, which reports them as KTAP.

Usage: python3 -m harness.unittest_ktap FOLDER
"""

import pathlib
import sys
import unittest
from types import TracebackType

Error = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Result(unittest.TestResult):
    """Prints each result as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._failed_parts: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._report(test)

    def addFailure(self, test: unittest.TestCase, err: Error) -> None:
        super().addFailure(test, err)
        self._report(test, self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Error) -> None:
        super().addError(test, err)
        self._report(test, self.errors[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._report(test, skipped=reason)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase,
                   err: Error | None) -> None:
        failures, errors = len(self.failures), len(self.errors)
        super().addSubTest(test, subtest, err)
        self._failed_parts += [text for _, text in (*self.failures[failures:],
                                                    *self.errors[errors:])]

    def stopTest(self, test: unittest.TestCase) -> None:
        # A test with failed parts is reported neither as failure nor as success.
        if self._failed_parts:
            self._report(test, "\n".join(self._failed_parts))
            self._failed_parts = []
        super().stopTest(test)

    def _report(self, test: unittest.TestCase, failure: str | None = None,
                skipped: str | None = None) -> None:
        self._number += 1
        for line in (failure or "").splitlines():
            print(f"# {line}")
        directive = f" # SKIP {skipped}" if skipped is not None else ""
        print(f"{'not ok' if failure else 'ok'} {self._number} {test.id()}{directive}", flush=True)


def main() -> int:
    """Run the tests of the folder that the command line names."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    is_package = (folder / "__init__.py").exists()
    tests = unittest.TestLoader().discover(
        str(folder), top_level_dir=str(folder.parent) if is_package else None)
    print(f"KTAP version 1\n1..{tests.countTestCases()}", flush=True)
    result = Result()
    tests.run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
