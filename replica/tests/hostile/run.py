"""Runs all tests of this folder, a process for each file at the same time, since they mostly wait.

What a file has printed is printed when it has ended. The status is 1 if a test has failed.
"""

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent


def main():
    files = sorted(file.stem for file in FOLDER.glob("test_*.py"))
    command = [sys.executable, "-B", "-m", "unittest", "-v"]
    runs = [
        subprocess.Popen(command + [file], cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for file in files
    ]
    for run in runs:
        printed, _ = run.communicate()
        sys.stdout.buffer.write(printed)
        sys.stdout.flush()
    failed = [file for file, run in zip(files, runs) if run.returncode != 0]
    print(f"{len(files)} files, failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
