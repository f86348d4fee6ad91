"""A soak of real replicas: five processes that gossip while everything around them breaks.

    cargo build -p gossip-replica
    python3 replica/tests/soak/soak.py                               # a minute, as `.ci/run replica-soak`
    GOSSIP_SOAK_SECONDS=3600 python3 replica/tests/soak/soak.py      # the long form
    GOSSIP_SOAK_SEED=7 ...                                           # the faults in another order

Small files are published all the time. Meanwhile: kill -9 in the middle of transfers, a full disk that is freed again,
logs that nobody takes (/dev/full, and a pipe that nobody reads), stores damaged in five ways while they are in use,
replicas that are stopped and continued, and replicas that are restarted. At the end all stores have to be complete and
the same, byte by byte, every SIGTERM has to lead to `clean=true`, and neither memory nor the number of open files must
have grown.

    steady    never stopped or killed; what its memory does is what a leak would do
    no-log    its log goes to /dev/full
    deaf-log  its log goes to a full pipe that nobody reads
    damaged   its store is damaged
    small     its store lies on a disk of 64 MB, which becomes full; a usual disk where no tmpfs can be mounted

Every fault that is found is printed as `FAILED after N s: where: what`, and the run goes on; the exit status is then 1.
Standard library only, Python 3.11 or newer, Linux. Limits: all on one machine and over loopback, without loss (the
network lab has that); power cuts are not tried, only kills; what is published in an hour is less than 60 MB, since it
has to fit the small disk.
"""

import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from replica_process import Failed, Replica

SECONDS = float(os.environ.get("GOSSIP_SOAK_SECONDS") or 60)
SEED = int(os.environ.get("GOSSIP_SOAK_SEED") or 1)
NAMES = ("steady", "no-log", "deaf-log", "damaged", "small")

SMALL_DISK_MEGABYTES = 64
# What is left free of the small disk while it is full.
LEFT_FREE_BYTES = 1 << 20
# What a replica may write while its disk is full: the small files, and one attempt at what does not fit. Each further
# attempt writes LEFT_FREE_BYTES again.
WRITTEN_BYTES = LEFT_FREE_BYTES * 3 // 2
FULL_SECONDS = 10
SMALL_FILE_BYTES = (1, 20_000)
# Large enough to be met in the middle, small enough for the small disk.
BIG_FILE_BYTES = 1_500_000
# How often a kill may miss its transfer.
KILL_ATTEMPTS = 2
# At the end: adverts are asked for again every minute, and a damaged store is read through in the background.
SETTLE_SECONDS = max(150, SECONDS / 10)
# How much the memory may grow between the first third of the run and the last one.
MEMORY_GROWTH = 1.5
# How many more files may be open at the same time in the last third than in the first.
FILES_GROWTH = 20
SAMPLE_SECONDS = 0.5
# Of how many missing artifacts a replica's failure tells.
SHOWN = 3


class Soak:
    def __init__(self, folder):
        self.began = time.monotonic()
        self.random = random.Random(SEED)
        self.failures = []
        self.expected = {}  # The artifact's name, and who published it when.
        self.damage = {}  # By replica and artifact: what was done to it.
        self.samples = {name: [] for name in NAMES}
        self.counts = {}
        self.publishing = threading.Event()
        self.lock = threading.Lock()
        self.replicas = {name: Replica(folder, name) for name in NAMES}
        self.mounted = None
        self.unread = []
        self.plain_log = set()  # Those that did not bear their kind of log.

    def now(self):
        return time.monotonic() - self.began

    def say(self, text):
        print(f"{self.now():7.1f} s  {text}", flush=True)

    def fail(self, where, what):
        self.failures.append(f"after {self.now():.1f} s: {where}: {what}")
        print(f"FAILED {self.failures[-1]}", flush=True)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # Starting and ending

    def log_of(self, name):
        """Where a replica logs to: `None` for a file in its folder, else a file descriptor."""
        if name in self.plain_log:
            return None
        if name == "no-log":
            return os.open("/dev/full", os.O_WRONLY)
        if name == "deaf-log":
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            try:
                while True:
                    os.write(writer, b"x" * 65536)
            except BlockingIOError:
                pass
            os.set_blocking(writer, True)
            self.unread.append(reader)
            return writer
        return None

    def start(self, replica):
        """Starts it with its kind of log, or, if it does not bear that, with a usual one; then that is a failure."""
        log = self.log_of(replica.name)
        try:
            replica.start(log=log)
            return
        except Failed as failure:
            kind = "a usual log" if log is None else "a log that nobody takes"
            self.fail(replica.name, f"does not start with {kind}: {failure}")
            replica.kill()
        finally:
            if log is not None:
                os.close(log)
        if log is not None:
            self.plain_log.add(replica.name)
            try:
                replica.start()
            except Failed as failure:
                self.fail(replica.name, f"does not start with a usual log either: {failure}")
                replica.kill()

    def stop(self, replica):
        """SIGTERM, and a clean end."""
        try:
            replica.stop()
            self.count("clean ends")
        except Failed as failure:
            self.fail(replica.name, str(failure))
            replica.kill()

    def mount_small_disk(self):
        store = self.replicas["small"].store
        store.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MEGABYTES}m", "tmpfs", str(store)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            self.mounted = store
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            self.say(f"skipped: the full disk: no tmpfs can be mounted here: {reason.strip()}")

    def set_up(self):
        self.mount_small_disk()
        for replica in self.replicas.values():
            replica.configure([(other.id, other.address) for other in self.replicas.values() if other is not replica])
        for replica in self.replicas.values():
            self.start(replica)

    def tear_down(self):
        self.publishing.set()
        for replica in self.replicas.values():
            if replica.is_running():
                replica.signal(signal.SIGCONT)
            replica.kill()
        for reader in self.unread:
            os.close(reader)
        if self.mounted is not None:
            subprocess.run(["umount", str(self.mounted)], check=False)

    # What goes on all the time

    def publish(self, replica, length):
        with self.lock:
            number = len(self.expected)
            content = f"{SEED} {number} ".encode() + os.urandom(length)
            artifact = replica.publish(f"file {number}", content)
            self.expected[artifact] = f"{replica.name}, after {self.now():.1f} s, {len(content)} bytes"
        return artifact

    def publish_on(self):
        """On a thread: a small file now and then, whether its replica runs or not."""
        chance = random.Random(SEED)
        interval = max(0.5, SECONDS / 1800)
        while not self.publishing.wait(interval):
            self.publish(self.replicas[chance.choice(NAMES)], chance.randint(*SMALL_FILE_BYTES))

    def sample(self):
        """On a thread: the memory and the open files of all."""
        while not self.publishing.wait(SAMPLE_SECONDS):
            for name, replica in self.replicas.items():
                process = replica.process
                try:
                    if process is not None and process.poll() is None:
                        self.samples[name].append((self.now(), replica.memory_bytes(), replica.open_files()))
                except (OSError, AttributeError, Failed):
                    pass  # It ends at this moment.

    def look_after(self):
        """One that has ended by itself is a failure, and is started again."""
        for replica in self.replicas.values():
            if replica.process is None:
                self.start(replica)
            elif not replica.is_running():
                self.fail(replica.name, f"ended by itself with status {replica.process.poll()}{replica.last_log()}")
                replica.kill()
                self.start(replica)

    # The faults

    def kill_in_a_transfer(self, number):
        # Not the damaged one: what its process finds by itself is what matters there.
        victim = self.replicas[("no-log", "deaf-log", "small")[number % 3]]
        for _ in range(KILL_ATTEMPTS):
            self.publish(self.replicas["steady"], BIG_FILE_BYTES)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and victim.is_running():
                if victim.partial_bytes() > 2 * SMALL_FILE_BYTES[1]:
                    victim.kill()
                    left = victim.partial_bytes()
                    self.say(f"killed {victim.name}, which had {left} bytes of a transfer")
                    self.count("kills in a transfer" if left else "kills beside a transfer")
                    self.check_not_torn(victim, "after kill -9")
                    self.start(victim)
                    return
        self.fail(victim.name, "no transfer to it is met in the middle")

    def fill_the_disk(self, number):
        if self.mounted is None:
            return
        replica = self.replicas["small"]
        filler = self.mounted / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
            file.truncate(max(0, file.tell() - LEFT_FREE_BYTES))
        self.say("the disk of small is full")
        before = replica.io_bytes("wchar")
        self.publish(self.replicas["steady"], BIG_FILE_BYTES)
        self.publish(replica, SMALL_FILE_BYTES[1])
        time.sleep(FULL_SECONDS)
        if not replica.is_running():
            self.fail("small", f"does not live with a full disk{replica.last_log()}")
        else:
            written = replica.io_bytes("wchar") - before
            self.say(f"small has written {written} bytes while its disk was full")
            if written > WRITTEN_BYTES:
                self.fail("small", f"fetches again and again what does not fit: {written} bytes written to a full disk")
        filler.unlink()
        self.say("the disk of small has space again")
        self.count("full disks")

    def damage_a_store(self, number):
        replica = self.replicas["damaged"]
        way = ("flip two bytes", "truncate", "empty", "remove", "remove partial/")[number % 5]
        if way == "remove partial/":
            partial = replica.store / "partial"
            try:
                for file in partial.iterdir():
                    file.unlink(missing_ok=True)
                partial.rmdir()
            except OSError as error:
                self.say(f"partial/ of damaged is in use: {error}")
                return
            self.say("damaged: partial/ removed")
            self.count("damages")
            return
        # Each artifact once, so that what the log says of it is what was done.
        fresh = [name for name in sorted(replica.held()) if ("damaged", name) not in self.damage]
        fresh = [name for name in fresh if (replica.store / name).stat().st_size > 100]
        if not fresh:
            self.say(f"nothing to {way} in the store of damaged yet")
            return
        artifact = self.random.choice(fresh)
        path = replica.store / artifact
        size = path.stat().st_size
        if way == "flip two bytes":
            with open(path, "r+b") as file:
                for at in (size // 3, size // 2):
                    file.seek(at)
                    byte = file.read(1)
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 0x55]))
        elif way == "truncate":
            os.truncate(path, size // 2)
        elif way == "empty":
            os.truncate(path, 0)
        else:
            path.unlink()
        self.damage["damaged", artifact] = f"{way}, after {self.now():.1f} s"
        self.say(f"damaged: {way}: {artifact[:8]} of {size} bytes")
        self.count("damages")

    def pause(self, number):
        """Short or longer than a peer may be silent."""
        replica = self.replicas[NAMES[1 + number % 4]]
        replica.signal(signal.SIGSTOP)
        time.sleep(1 if number % 2 else min(7, SECONDS / 10))
        replica.signal(signal.SIGCONT)
        self.say(f"{replica.name} was stopped for a while")
        self.count("pauses")

    def restart(self, number):
        replica = self.replicas[NAMES[1 + number % 4]]
        self.stop(replica)
        self.start(replica)
        self.say(f"{replica.name} restarted")
        self.count("restarts")

    def schedule(self):
        """What happens in which order: each kind so often, mixed by the seed."""
        kinds = [
            (self.kill_in_a_transfer, max(4, round(12 * SECONDS / 3600))),
            (self.fill_the_disk, max(1, round(SECONDS / 1200))),
            (self.damage_a_store, 5 * max(1, round(SECONDS / 900))),
            (self.pause, max(3, round(SECONDS / 120))),
            (self.restart, max(3, round(SECONDS / 240))),
        ]
        faults = [(fault, number) for fault, times in kinds for number in range(times)]
        self.random.shuffle(faults)
        return faults

    def run(self):
        self.say(f"seed {SEED}, {SECONDS:.0f} s")
        self.set_up()
        self.began = time.monotonic()
        threads = [threading.Thread(target=target, daemon=True) for target in (self.publish_on, self.sample)]
        for thread in threads:
            thread.start()
        faults = self.schedule()
        first, last = 3, SECONDS - min(120, SECONDS / 6)
        for place, (fault, number) in enumerate(faults):
            due = first + (last - first) * place / len(faults)
            while self.now() < due:
                time.sleep(0.1)
            self.look_after()
            try:
                fault(number)
            except (Failed, OSError, AttributeError) as error:
                self.fail(fault.__name__, repr(error))
        while self.now() < SECONDS:
            time.sleep(0.1)
        self.publishing.set()
        for thread in threads:
            thread.join()
        self.look_after()
        self.check_complete()
        self.check_memory()
        for replica in self.replicas.values():
            if replica.process is not None:
                self.stop(replica)
            self.check_not_torn(replica, "at the end")
            left = replica.partial_bytes()
            if left:
                self.fail(replica.name, f"{left} bytes of transfers are left at the end")
        self.check_the_same()

    # What must hold

    def told(self, name, artifact):
        damage = self.damage.get((name, artifact))
        return f"{artifact[:8]} (of {self.expected.get(artifact, 'nobody')}{'; ' + damage if damage else ''})"

    def check_not_torn(self, replica, when):
        for artifact, size in replica.torn():
            # One that we have damaged ourselves may still wait to be found.
            if when == "at the end" or (replica.name, artifact) not in self.damage:
                told = self.told(replica.name, artifact)
                self.fail(replica.name, f"torn {when}: {told}: {size} bytes, of another hash")

    def check_complete(self):
        """All that was published is everywhere, and is what its name says."""
        self.say(f"{len(self.expected)} files published; waiting until all have them")
        expected = set(self.expected)

        def lacking():
            return {
                name: (expected - replica.held(), {artifact for artifact, _ in replica.torn()})
                for name, replica in self.replicas.items()
            }

        deadline = time.monotonic() + SETTLE_SECONDS
        while any(missing or torn for missing, torn in lacking().values()) and time.monotonic() < deadline:
            time.sleep(0.5)
        for name, (missing, torn) in lacking().items():
            for artifact in sorted(missing)[:SHOWN]:
                self.fail(name, f"lacks {self.told(name, artifact)}")
            if len(missing) > SHOWN:
                self.fail(name, f"lacks {len(missing) - SHOWN} more")
            for artifact in sorted(torn):
                self.say(f"{name} has not repaired {self.told(name, artifact)}")

    def check_the_same(self):
        stores = {name: replica.held() for name, replica in self.replicas.items()}
        for name, held in stores.items():
            if held - set(self.expected):
                self.fail(name, f"holds {len(held - set(self.expected))} artifacts that nobody published")
        if all(held == set(self.expected) for held in stores.values()):
            self.say(f"all stores hold the same {len(self.expected)} artifacts")

    def check_memory(self):
        end = self.now()
        for name, samples in self.samples.items():
            first = [used for at, *used in samples if at < SECONDS / 3]
            last = [used for at, *used in samples if at > SECONDS * 2 / 3]
            if not first or not last:
                self.fail(name, f"no memory was measured in {end:.0f} s")
                continue
            (memory, files), (last_memory, last_files) = (
                [statistics.median(used) for used in zip(*third)] for third in (first, last)
            )
            self.say(
                f"memory of {name}: {memory / 1e6:.1f} MB in the first third, {last_memory / 1e6:.1f} MB in the last; "
                f"{files:.0f} and {last_files:.0f} files open"
            )
            if last_memory > MEMORY_GROWTH * memory:
                self.fail(name, f"its memory grows from {memory / 1e6:.1f} to {last_memory / 1e6:.1f} MB")
            if last_files > files + FILES_GROWTH:
                self.fail(name, f"it keeps files open: {files:.0f}, then {last_files:.0f}")


def main():
    with tempfile.TemporaryDirectory(prefix="replica-soak-", ignore_cleanup_errors=True) as folder:
        soak = Soak(folder)
        try:
            soak.run()
        finally:
            soak.tear_down()
    print("; ".join(f"{what}: {count}" for what, count in sorted(soak.counts.items())))
    if soak.failures:
        print(f"\n{len(soak.failures)} failures, seed {SEED}:")
        for failure in soak.failures:
            print(f"  {failure}")
        return 1
    print("nothing failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
