"""Real processes of `gossip-replica run`, for the tests that are written in Python.

Not a test by itself: `hostile/` and `soak/` use it. Standard library only, Python 3.11 or newer, Linux (it reads
/proc). The program is the one in $GOSSIP_REPLICA, or else debug/gossip-replica in $CARGO_TARGET_DIR or target/;
build it first with `cargo build -p gossip-replica`.

Limits: a port is chosen before the process binds it, so another program may take it in between; then the start fails
and says so. The ports are below those that the system gives to those who ask for any.
"""

import hashlib
import os
import pathlib
import queue
import random
import re
import signal
import socket
import subprocess
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CHUNK_BYTES = 16384
# How long a process may take to start and to end. Generous: the machine may be loaded.
START_SECONDS = 30
STOP_SECONDS = 30
POLL_SECONDS = 0.02

# Files are moved into the outbox when they are complete, and some disks here are small.
SETTINGS = ("settle_seconds = 0", "min_free_bytes = 0")

CATALOG_MAGIC = b"gossip-catalog/"
ARTIFACT_NAME = re.compile(r"[0-9a-f]{64}")


class Failed(AssertionError):
    """What had to happen has not."""


def program():
    """The path of the program."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    path = pathlib.Path(os.environ.get("GOSSIP_REPLICA") or target / "debug" / "gossip-replica")
    if not path.is_file():
        raise Failed(f"there is no {path}: run `cargo build -p gossip-replica` first, or set GOSSIP_REPLICA")
    return str(path.resolve())


def until(what, happened, seconds):
    """Waits until `happened()`; returns how long that took."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            raise Failed(f"waited {seconds} s in vain until {what}")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def hash_of(content):
    """The name under which a store keeps this content."""
    return hashlib.sha256(content).hexdigest()


def free_port(host, kind=socket.SOCK_DGRAM):
    """A port, of UDP unless told otherwise, that nobody has bound at the moment and that was not given before."""
    while True:
        port = random.randrange(10_000, 32_000)
        if port in _ports:
            continue
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        _ports.add(port)
        return port


_ports = set()


class Replica:
    """One replica: a folder with its key, configuration, store, outbox and log, and its process while it runs."""

    def __init__(self, folder, name):
        self.name = name
        self.folder = pathlib.Path(folder) / name
        self.store = self.folder / "store"
        self.outbox = self.folder / "outbox"
        self.log_file = self.folder / "log"
        self.outbox.mkdir(parents=True)
        made = subprocess.run(
            [program(), "keygen", str(self.folder / "replica.key")], capture_output=True, text=True, check=True
        )
        self.id = made.stdout.strip()
        self.address = ("127.0.0.1", free_port("127.0.0.1"))
        self.process = None
        self.starts = 0
        self._lines = None

    def configure(self, peers, publish=True):
        """Writes the configuration; `peers` is a list of (id in hexadecimal digits, (host, port))."""
        lines = [
            f'listen = "{self.address[0]}:{self.address[1]}"',
            'key_file = "replica.key"',
            'store = "store"',
            *(['publish = "outbox"'] if publish else []),
            "rescan_seconds = 1",
            f"chunk_size = {CHUNK_BYTES}",
            *SETTINGS,
        ]
        for key, (host, port) in peers:
            lines += ["[[peers]]", f'key = "{key}"', f'address = "{host}:{port}"']
        (self.folder / "replica.toml").write_text("\n".join(lines) + "\n")

    def limit_store(self, size):
        """From its next start on its store holds no more than so many bytes."""
        file = self.folder / "replica.toml"
        file.write_text(f"max_store_bytes = {size}\n" + file.read_text())

    def start(self, log=None, wait=True):
        """Starts it and waits until it is ready. `log` is where its standard error goes, else to `log_file`."""
        environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
        own_log = open(self.log_file, "ab") if log is None else None
        try:
            self.process = subprocess.Popen(
                [program(), "run", "--config", str(self.folder / "replica.toml")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=own_log if log is None else log,
                env=environment,
                text=True,
            )
        finally:
            if own_log is not None:
                own_log.close()
        self.starts += 1
        self._lines = queue.Queue()
        threading.Thread(target=_read_lines, args=(self.process.stdout, self._lines), daemon=True).start()
        if wait:
            self.until_ready()

    def until_ready(self):
        """Waits for the line that says so."""
        line = self._line("ready:", START_SECONDS)
        if f"id={self.id} " not in line:
            raise Failed(f"{self.name} is somebody else: {line}")

    def _line(self, beginning, seconds):
        """The next line on standard output, which has to begin so."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=0.1)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise Failed(f"{self.name} prints no line {beginning!r} in {seconds} s") from None
                continue
            if line is None:
                status = self.process.wait()
                raise Failed(f"{self.name} ended with status {status} before {beginning!r}{self.last_log()}")
            if not line.startswith(beginning):
                raise Failed(f"{self.name} prints {line!r} instead of {beginning!r}")
            return line

    def last_log(self):
        """The end of the log, to be shown with a failure."""
        lines = self.log().splitlines()[-8:]
        return "".join(f"\n    {self.name}: {line}" for line in lines)

    def log(self):
        """All that it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As `kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def stop(self):
        """Ends it by SIGTERM; fails unless it ends in time, with status 0, and says `clean=true`.

        Returns what it says at its end, as a dict.
        """
        if not self.is_running():
            raise Failed(f"{self.name} has ended before it was told to, status {self.process.poll()}{self.last_log()}")
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end within {STOP_SECONDS} s of SIGTERM{self.last_log()}") from None
        if status != 0:
            raise Failed(f"{self.name} ends with status {status} on SIGTERM{self.last_log()}")
        line = self._line("stopped:", 5)
        self.process.stdout.close()
        self.process = None
        said = dict(word.split("=", 1) for word in line.split()[1:])
        if said.get("clean") != "true":
            raise Failed(f"{self.name} does not end clean: {line}{self.last_log()}")
        return said

    def publish(self, name, content):
        """Puts a complete file into the outbox; returns its hash."""
        draft = self.folder / "draft"
        draft.write_bytes(content)
        draft.rename(self.outbox / name)
        return hash_of(content)

    def holds(self, artifact):
        """Whether the store has an artifact, by the name of its file."""
        return (self.store / artifact).exists()

    def held(self):
        """The names of the artifacts in the store, without those of catalogs."""
        if not self.store.is_dir():
            return set()
        return {name for name in os.listdir(self.store) if ARTIFACT_NAME.fullmatch(name) and not self.is_catalog(name)}

    def is_catalog(self, name):
        try:
            with open(self.store / name, "rb") as artifact:
                return artifact.read(len(CATALOG_MAGIC)) == CATALOG_MAGIC
        except OSError:
            return False  # It may be gone again, or be damaged into a folder.

    def partial_bytes(self):
        """How many bytes there are of artifacts on their way in."""
        total = 0
        try:
            for entry in os.scandir(self.store / "partial"):
                total += entry.stat().st_size
        except FileNotFoundError:
            pass  # One may be gone again, and so may the folder.
        return total

    def torn(self):
        """The artifacts whose content is not what their name says, each with the number of its bytes."""
        wrong = []
        for name in sorted(self.held()):
            content = (self.store / name).read_bytes()
            if hash_of(content) != name:
                wrong.append((name, len(content)))
        return wrong

    def memory_bytes(self, field="VmRSS"):
        """A line of /proc/PID/status: VmRSS is the memory now, VmHWM the most so far."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise Failed(f"{self.name}: no {field} in /proc/{self.process.pid}/status")

    def open_files(self):
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def io_bytes(self, field):
        """A line of /proc/PID/io: rchar is what it has read from files so far, wchar what it has written.

        Cached or not: the cache is not the replica's merit. Neither counts what goes over its socket.
        """
        for line in pathlib.Path(f"/proc/{self.process.pid}/io").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise Failed(f"{self.name}: no {field} in /proc/{self.process.pid}/io")


def _read_lines(stream, lines):
    try:
        for line in stream:
            lines.put(line.rstrip("\n"))
    except ValueError:
        pass  # Closed meanwhile.
    lines.put(None)
