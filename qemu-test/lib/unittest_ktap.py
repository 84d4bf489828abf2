# SPDX-License-Identifier: GPL-2.0
"""Runs the Python unit tests below a folder and reports them as KTAP.

Usage: unittest_ktap.py FOLDER
"""

import pathlib
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Result(unittest.TestResult):
    """Prints each result as it comes."""

    def __init__(self):
        super().__init__()
        self._number = 0
        self._failed_parts = []

    def addSuccess(self, test):
        self._report(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._report(test, self._exc_info_to_string(err, test))

    addError = addFailure

    def addSkip(self, test, reason):
        self._report(test, skipped=reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self._failed_parts.append(self._exc_info_to_string(err, test))

    def stopTest(self, test):
        # A test with failed parts is reported neither as failure nor as success.
        if self._failed_parts:
            self._report(test, "\n".join(self._failed_parts))
            self._failed_parts = []
        super().stopTest(test)

    def _report(self, test, failure=None, skipped=None):
        self._number += 1
        for line in (failure or "").splitlines():
            print(f"# {line}")
        directive = f" # SKIP {skipped}" if skipped is not None else ""
        print(f"{'not ok' if failure else 'ok'} {self._number} {test.id()}{directive}", flush=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "qemu-test" / "lib")]
    is_package = (folder / "__init__.py").exists()
    tests = unittest.TestLoader().discover(
        str(folder), top_level_dir=str(folder.parent) if is_package else None)
    print(f"KTAP version 1\n1..{tests.countTestCases()}")
    result = Result()
    tests.run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
