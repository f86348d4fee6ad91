"""What a process and its children use, and whether a folder is equal to another one. Linux: it reads /proc."""

import os
import pathlib
import statistics

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat from the state on; `None` if the process is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(root):
    """The ids of a process and of all that it has started and that still run."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(name)):
            children.setdefault(int(stat[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


class Usage:
    """What one machine would run: a process, or one after the other, each with its children."""

    def __init__(self, process=None):
        self.process = process
        self._spent = 0.0
        self._peak = 0

    def processor_seconds(self):
        """User and system time so far."""
        if self.process is None:
            return self._spent
        # The last two are those of children that have ended.
        ticks = [sum(map(int, stat[11:15])) for pid in tree(self.process.pid) if (stat := _stat(pid))]
        return self._spent + sum(ticks) * TICK_SECONDS

    def look(self):
        """Looks at the memory. What nobody looks at before it ends is not known."""
        if self.process is not None:
            self._peak = max(self._peak, sum(memory_bytes(pid, "VmHWM") for pid in tree(self.process.pid)))

    def peak_bytes(self):
        """The most resident memory so far. Of several processes at a time the sum of their peaks."""
        self.look()
        return self._peak

    def has_ended(self):
        """Whether the process has ended, whose exit code is then in `process.returncode`."""
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self._spent += usage.ru_utime + usage.ru_stime
        return True


def memory_bytes(pid, field):
    """A line of /proc/PID/status: VmRSS is the memory now, VmHWM the most so far. 0 if the process has ended."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


class Machine:
    """The processor time of all cores since it was made, to find out how much of it others used."""

    def __init__(self, own_seconds):
        """`own_seconds` is what the contender has used so far."""
        self._before = self._read(own_seconds)

    @staticmethod
    def _read(own_seconds):
        ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        times = os.times()
        own = own_seconds / TICK_SECONDS + (times.user + times.system) / TICK_SECONDS
        # The 4th and 5th are idle and waiting for a disk.
        return sum(ticks), ticks[3] + ticks[4], own

    def others_share(self, own_seconds):
        """The share of all cores' time that neither was idle nor this program's or the contender's."""
        total, idle, own = (now - then for now, then in zip(self._read(own_seconds), self._before))
        return max(0.0, (total - idle - own) / max(1, total))


def sizes(folder):
    """The folders in it that have files, by their paths in it, each with its files' names and sizes."""
    found = {}
    for path, _, names in os.walk(folder):
        if names:
            found[os.path.relpath(path, folder)] = {name: os.stat(os.path.join(path, name)).st_size for name in names}
    return found


class Comparison:
    """Waits for a folder to have the files that are expected, by names and sizes, and not those that are `gone`.

    A folder in it is looked at again until it is as expected, then the next one, so that a look costs little.
    """

    def __init__(self, target, expected, gone):
        self._target = target
        self._missing = list(expected.items())
        self._gone = gone

    def is_equal(self):
        while self._missing:
            path, expected = self._missing[-1]
            if not _has(os.path.join(self._target, path), expected):
                return False
            self._missing.pop()
        return not any(os.path.lexists(os.path.join(self._target, path)) for path in self._gone)

    def state(self):
        """What is known of it, for a failure."""
        if self._missing:
            path = self._missing[-1][0]
            return f"{path} in {self._target} differs, {len(self._missing) - 1} folders were not looked at"
        return f"of {self._gone} something is left in {self._target}"


def _has(folder, expected):
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)]
        if len(entries) != len(expected):
            return False
        return all(entry.stat(follow_symlinks=False).st_size == expected.get(entry.name) for entry in entries)
    except FileNotFoundError:
        return False  # Not there yet, or renamed at this moment.


def disk_bytes(folder):
    """What the folder takes on its disk, a file with two names once."""
    taken = {}
    for path, folders, names in os.walk(folder):
        for name in folders + names:
            try:
                status = os.lstat(os.path.join(path, name))
            except FileNotFoundError:
                continue  # A temporary file.
            taken[status.st_ino] = status.st_blocks * 512
    return sum(taken.values())


def quartiles(values):
    """In the form of the other benches, of four significant digits."""
    if len(values) == 1:
        lower = median = upper = values[0]
    else:
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return {name: float(f"{value:.4g}") for name, value in (("lower", lower), ("median", median), ("upper", upper))}
