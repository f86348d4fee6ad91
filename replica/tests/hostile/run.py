"""Runs all tests of this folder, a process for each, AT_ONCE of them at the same time, since they mostly wait.

What a test has printed is printed when it has ended. The status is 1 if a test has failed.
"""

import concurrent.futures
import pathlib
import subprocess
import sys
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
# Together they keep two cores half busy. Each has two replicas, of up to 30 MiB but for floods.
AT_ONCE = 10


def tests(suite):
    """The names of all tests in it."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests(test)
        else:
            yield test.id()


def run(test):
    command = [sys.executable, "-B", "-m", "unittest", "-v", test]
    return subprocess.run(command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def main():
    # A file that cannot be read counts as a test that fails, with the reason.
    names = list(tests(unittest.defaultTestLoader.discover(str(FOLDER))))
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for name, ran in zip(names, pool.map(run, names)):
            sys.stdout.buffer.write(ran.stdout)
            sys.stdout.flush()
            if ran.returncode != 0:
                failed.append(name)
    print(f"{len(names)} tests, failed: {', '.join(failed) or 'none'}")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
