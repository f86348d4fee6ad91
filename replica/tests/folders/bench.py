"""The replica as its users use it, beside what they would use instead: a folder of one machine, kept on four others.

    cargo build --release -p gossip-replica --bin gossip-replica
    GOSSIP_BENCH_QUICK=1 python3 replica/tests/folders/bench.py    # minutes, means nothing
    python3 replica/tests/folders/bench.py                         # on a quiet machine, for hours at worst
    python3 replica/tests/folders/bench.py --case held             # small, large or held; may be given several times

Cases: `small`, files of 1 to 4 KiB; then a folder of a tenth of them is renamed, then another tenth is removed.
`large`, one file. `held`, what a replica costs that holds many artifacts, was restarted and has nothing to do.

Contenders: `replica`, `syncthing` and `rsync` (apt-get install syncthing rsync). Five replicas are connected each with
each, and so are five Syncthings, over TLS. rsync is a daemon and four pulls, in turn or side by side, without
encryption; it looks for no changes, so its time is that of a call that somebody has to make. Contenders run one after
the other, in rounds whose order rotates. One that cannot be had is a printed line, one that fails is a row `failed`.

Time runs from the change of the source until all four folders have the same names and sizes; the contents are compared
at the end, outside of the time. Processor seconds are those until then; those of a receiver are the mean of the four.
Memory is the most so far that was resident, that of a receiver the highest of the four. The replica keeps each content
twice, in its store and in the folder, and Syncthing has an index beside it: `receiver_disk_mb` has all that a receiver
keeps. Idle processor use is in percent of a core.

Standard library only, Python 3.11 or newer, Linux. All lies in a folder below $TMPDIR (/tmp by default) and is removed
at the end. Progress goes to standard error, one line of JSON to standard output and to target/results/folders.json,
where the rows of cases that were not run stay, if they come from a run of the same length.
The exit status is 1 if something failed. Limits: all on one machine, over loopback, and in the page cache.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or FOLDER.parents[2] / "target")
os.environ.setdefault("GOSSIP_REPLICA", str(TARGET / "release" / "gossip-replica"))
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

from contenders import FolderReplica, Replicas, all_of_them
from measure import Comparison, Machine, Usage, disk_bytes, memory_bytes, quartiles, sizes
from replica_process import Failed, until

QUICK = os.environ.get("GOSSIP_BENCH_QUICK") == "1"
ROUNDS = 1 if QUICK else 3
SMALL_FILES = 2_000 if QUICK else 50_000
SMALL_BYTES = (1 << 10, 4 << 10)
# A tenth of the files lies below one folder of the source, in folders of so many.
TENTHS = 10
FILES_OF_A_FOLDER = 100
# The replicas need ten times as much of the disk.
LARGE_BYTES = 64_000_000 if QUICK else 2_000_000_000
HELD_ARTIFACTS = 2_000 if QUICK else 100_000
HELD_BYTES = 100
# What a replica that holds those may use.
HELD_MOST_MB = 60
HELD_MOST_PERCENT = 0.5
# How long a contender may take until all four are equal.
PHASE_SECONDS = 300 if QUICK else 1800
START_SECONDS = 120
# What goes on when all is done: first it may end, then it is measured.
REST_SECONDS = 3 if QUICK else 15
IDLE_SECONDS = 10 if QUICK else 30
HELD_IDLE_SECONDS = 10 if QUICK else 60
# ext4 avoids inodes that were freed in the last minute, so that new files are dear after a removal.
CALM_SECONDS = 0 if QUICK else 65
POLL_SECONDS = 0.05
PIECE_BYTES = 1 << 20
BLOCK_BYTES = 4096
# Logs, indexes, keys and folders.
SLACK_BYTES = 500_000_000
MB = 1e6


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def make_small(folder):
    chance = random.Random(1)
    for number in range(SMALL_FILES):
        place = number * TENTHS // SMALL_FILES
        path = folder / f"tenth-{place}" / f"folder-{number // FILES_OF_A_FOLDER}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randint(*SMALL_BYTES)))


def make_large(folder, length):
    chance = random.Random(2)
    with open(folder / "large", "wb") as file:
        for begin in range(0, length, PIECE_BYTES):
            file.write(chance.randbytes(min(PIECE_BYTES, length - begin)))


@contextlib.contextmanager
def uninterrupted():
    """What is begun here is finished before the program ends by a signal."""
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


@contextlib.contextmanager
def workplace(end):
    """A folder. In the end `end()` is called, and the folder is removed."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="folders-"))
    try:
        yield folder
    finally:
        with uninterrupted():
            try:
                end()
            finally:
                shutil.rmtree(folder, ignore_errors=True)


class Round:
    """One contender, from an empty folder to the last measurement."""

    def __init__(self, contender, folder):
        self.contender = contender
        self.folder = folder
        self.figures = {}

    def run(self, make, changes):
        contender = self.contender
        prepared = self.folder / "prepared"
        prepared.mkdir()
        make(prepared)
        os.sync()
        contender.start(self.folder)
        # It has started when something small gets through.
        (contender.source / "first").write_bytes(b"first")
        self.follow([], START_SECONDS)

        def publish(source):
            for path in prepared.iterdir():
                path.rename(source / path.name)
            return []

        for name, change in {"publish": publish, **changes}.items():
            time.sleep(REST_SECONDS)
            contender.rest()
            os.sync()
            self.measure(name, change)
            if name == "publish":
                self.figures[name]["receiver_disk_mb"] = mean([disk_bytes(home) for home in contender.homes]) / MB
        self.measure_idle()
        self.compare()

    def follow(self, gone, limit):
        """Waits until all are equal to the source; returns when that was."""
        expected = sizes(self.contender.source)
        self.contender.changed()
        comparisons = [Comparison(target, expected, gone) for target in self.contender.targets]
        deadline = time.monotonic() + limit
        while comparisons := [comparison for comparison in comparisons if not comparison.is_equal()]:
            if time.monotonic() > deadline:
                raise Failed(f"waited {limit} s in vain: {comparisons[0].state()}")
            self.contender.step()
            time.sleep(POLL_SECONDS)
        return time.monotonic()

    def measure(self, name, change):
        contender = self.contender
        publisher = contender.publisher.processor_seconds()
        receivers = self.receivers_seconds()
        machine = Machine(publisher + receivers)
        began = time.monotonic()
        gone = change(contender.source)
        seconds = self.follow(gone, PHASE_SECONDS) - began
        if contender.name.startswith("rsync"):
            contender.rest()  # Its processes have to end before they can be counted.
        now = contender.publisher.processor_seconds(), self.receivers_seconds()
        self.figures[name] = {
            "seconds": seconds,
            "publisher_cpu_seconds": now[0] - publisher,
            "receiver_cpu_seconds": (now[1] - receivers) / len(contender.receivers),
            "publisher_peak_mb": contender.publisher.peak_bytes() / MB,
            "receiver_peak_mb": max(receiver.peak_bytes() for receiver in contender.receivers) / MB,
            "others_share": machine.others_share(sum(now)),
        }
        say(f"    {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in self.figures[name].items()))

    def receivers_seconds(self):
        return sum(receiver.processor_seconds() for receiver in self.contender.receivers)

    def measure_idle(self):
        contender = self.contender
        time.sleep(REST_SECONDS)
        contender.rest()
        before = contender.publisher.processor_seconds(), self.receivers_seconds()
        time.sleep(IDLE_SECONDS)
        contender.step()
        publisher = contender.publisher.processor_seconds() - before[0]
        receiver = (self.receivers_seconds() - before[1]) / len(contender.receivers)
        self.figures["idle"] = {
            "publisher_idle_percent": publisher / IDLE_SECONDS * 100,
            "receiver_idle_percent": receiver / IDLE_SECONDS * 100,
        }
        say("    idle: " + ", ".join(f"{key} {value:.3g}" for key, value in self.figures["idle"].items()))

    def compare(self):
        """Byte by byte; also that no folder is left."""
        for target in self.contender.targets:
            command = ["diff", "-r", "-q", "--exclude=.stfolder", str(self.contender.source), str(target)]
            found = subprocess.run(command, capture_output=True, text=True, timeout=PHASE_SECONDS, check=False)
            if found.returncode != 0:
                lines = (found.stdout + found.stderr).splitlines()
                raise Failed(f"{target} is another than the source: {len(lines)} differences, first {lines[:3]}")


def mean(values):
    return sum(values) / len(values)


def rename(source):
    (source / "tenth-3").rename(source / "renamed")
    return ["tenth-3"]


def remove(source):
    shutil.rmtree(source / "tenth-7")
    return ["tenth-7"]


def run_case(case, make, changes, files, size, options):
    """All rounds of all contenders; returns rows."""
    contenders = []
    for contender in all_of_them():
        if reason := contender.unavailable():
            say(f"{case}: {contender.name} is left out: {reason}")
        else:
            contenders.append(contender)
    figures, rows = {contender.name: [] for contender in contenders}, []
    for number in range(options.rounds):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            say(f"{case}: round {number + 1} of {options.rounds}: {contender.name}")
            os.sync()
            time.sleep(CALM_SECONDS)
            with workplace(contender.stop) as folder:
                attempt = Round(contender, folder)
                try:
                    attempt.run(make, changes)
                except (Failed, OSError, subprocess.SubprocessError) as failure:
                    say(f"FAILED: {case}: {contender.name}: {failure}")
                    rows.append({"case": case, "contender": contender.name, "failed": str(failure)})
                    attempt.figures = None
                complaints = complaints_of(contender)
                for line in complaints[:3]:
                    say(f"    it says, {len(complaints)} lines: {line}")
            figures[contender.name].append(attempt.figures)
        # Who has failed would fail again, after a long wait.
        contenders = [contender for contender in contenders if None not in figures[contender.name]]
        if not contenders:
            break
    for name, rounds in figures.items():
        for phase in rounds[0] if rounds and None not in rounds else {}:
            own = [figures_of_round[phase] for figures_of_round in rounds]
            row = {"case": case, "files": files, "bytes": size, "contender": name, "phase": phase, "rounds": len(own)}
            row |= {key: quartiles([values[key] for values in own]) for key in own[0]}
            floor = figures.get("rsync, side by side", [])
            if "seconds" in row and len(floor) == len(own) and None not in floor:
                ratios = [values["seconds"] / least[phase]["seconds"] for values, least in zip(own, floor)]
                row["times_of_rsync"] = quartiles(ratios)
            rows.append(row)
    return rows


def complaints_of(contender):
    try:
        return contender.complaints()
    except (OSError, AttributeError):
        return []  # It has not started.


def small(options):
    changes = {"rename": rename, "remove": remove}
    return run_case("small", make_small, changes, SMALL_FILES, SMALL_FILES * sum(SMALL_BYTES) // 2, options)


def large(options):
    return run_case("large", lambda folder: make_large(folder, options.file_bytes), {}, 1, options.file_bytes, options)


def held(options):
    """A replica without peers and without folders: what holding alone costs."""
    if reason := Replicas.unavailable():
        say(f"held is left out: {reason}")
        return []
    say(f"held: {HELD_ARTIFACTS} artifacts of {HELD_BYTES} bytes")
    rows, replicas = [], []
    with workplace(lambda: [replica.kill() for replica in replicas]) as folder:
        replica = FolderReplica(folder, "holder")
        replicas.append(replica)
        replica.configure([], "")
        try:
            replica.start()
            replica.stop()
            chance = random.Random(3)
            for _ in range(HELD_ARTIFACTS):
                content = chance.randbytes(HELD_BYTES)
                (replica.store / hashlib.sha256(content).hexdigest()).write_bytes(content)
            os.sync()
            replica.start()
            usage = Usage(replica.process)
            used = [usage.processor_seconds()]

            def is_idle():
                """It reads back what it holds, once."""
                time.sleep(REST_SECONDS)
                used.append(usage.processor_seconds())
                return used[-1] - used[-2] < REST_SECONDS * 0.02

            until("a replica that was restarted has nothing to do", is_idle, PHASE_SECONDS)
            before = usage.processor_seconds()
            time.sleep(HELD_IDLE_SECONDS)
            idle = (usage.processor_seconds() - before) / HELD_IDLE_SECONDS * 100
            row = {
                "case": "held",
                "contender": "replica",
                "artifacts": len(replica.held()),
                "artifact_bytes": HELD_BYTES,
                "cpu_seconds_until_idle": round(before, 2),
                "resident_mb": round(memory_bytes(replica.process.pid, "VmRSS") / MB, 1),
                "resident_most_mb": HELD_MOST_MB,
                "peak_mb": round(usage.peak_bytes() / MB, 1),
                "idle_percent": round(idle, 3),
                "idle_most_percent": HELD_MOST_PERCENT,
            }
            row["within_target"] = row["resident_mb"] <= HELD_MOST_MB and row["idle_percent"] <= HELD_MOST_PERCENT
            if row["artifacts"] != HELD_ARTIFACTS:
                raise Failed(f"of {HELD_ARTIFACTS} artifacts {row['artifacts']} are held")
            rows.append(row)
            say(f"    {row}")
            replica.stop()
        except (Failed, OSError) as failure:
            say(f"FAILED: held: {failure}")
            rows.append({"case": "held", "contender": "replica", "failed": str(failure)})
    return rows


CASES = {"small": small, "large": large, "held": held}


def check_disk(options):
    """Says what the disk must have, and fails if it has not."""
    copies = max(contender.copies for contender in all_of_them())
    needs = {
        # The largest of them takes one block.
        "small": (SMALL_FILES * max(SMALL_BYTES) * copies, SMALL_FILES * copies),
        "large": (options.file_bytes * copies, copies),
        "held": (HELD_ARTIFACTS * BLOCK_BYTES, HELD_ARTIFACTS),
    }
    size = max(needs[case][0] for case in options.case) + SLACK_BYTES
    files = max(needs[case][1] for case in options.case)
    disk = os.statvfs(tempfile.gettempdir())
    free = disk.f_bavail * disk.f_frsize
    say(f"needs at most {size / 1e9:.1f} GB and {files} files in {tempfile.gettempdir()}; {free / 1e9:.1f} GB are free")
    # A file system without a table of files says that it has none.
    if free < size or 0 < disk.f_files and disk.f_favail < files:
        raise Failed("there is not as much left of the disk: free some, set TMPDIR, or use a smaller --file-bytes")


def rows_before(path, cases):
    """The rows of cases that were not run now."""
    try:
        before = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [row for row in before["rows"] if row["case"] not in cases] if before["quick"] == QUICK else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--case", action="append", choices=CASES, help="a case to run; all without it")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each case and contender [{ROUNDS}]")
    parser.add_argument("--file-bytes", type=int, default=LARGE_BYTES, help=f"of the large file [{LARGE_BYTES}]")
    options = parser.parse_args()
    options.case = options.case or list(CASES)
    # So that all is ended and removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    try:
        check_disk(options)
    except Failed as failure:
        sys.exit(str(failure))
    rows = [row for case in options.case for row in CASES[case](options)]
    path = TARGET / "results" / "folders.json"
    everything = rows_before(path, options.case) + rows
    everything.sort(key=lambda row: list(CASES).index(row["case"]))
    result = json.dumps({"bench": "folders", "quick": QUICK, "rows": everything})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result + "\n")
    print(result)
    return any("failed" in row for row in rows)


if __name__ == "__main__":
    sys.exit(main())
