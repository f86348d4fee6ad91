"""What the tests of this folder have in common: two honest replicas, some keys of attackers, and what must hold.

Not a test. The victim has the largest id of all, so that where two dials cross those of the others are kept. Limits:
see the constants; all are generous, because the tests run on two loaded cores and with a debug build.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from attacker import SOURCE_HOST, Attack, id_of, key_below
from replica_process import CHUNK_BYTES, Failed, Replica, free_port, until

# How many keys of attackers the honest replicas list.
LISTED = 4
# How long an attack goes on at least.
ATTACK_SECONDS = 2
# In what time a file that one honest replica publishes has to be at the other, in the middle of an attack. A folder
# is looked through every second, so it takes one without an attack.
SERVED_SECONDS = 20
# The most memory of a replica that is attacked by up to LISTED peers. A quiet one takes 20 MiB in a debug build; the
# transport's documented worst case is 34 MiB a connection, and the flows of the engine have bounds of their own.
MEMORY_BYTES = 160 << 20
FILE_BYTES = 200_000

__all__ = ["ATTACK_SECONDS", "CHUNK_BYTES", "LISTED", "SERVED_SECONDS", "HostileTest", "until"]


class HostileTest(unittest.TestCase):
    """Each test starts an attack, asserts that the honest are served meanwhile, and that nobody was harmed."""

    def setUp(self):
        self.notes = []
        self.folder = tempfile.mkdtemp(prefix="hostile-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        replicas = sorted((Replica(self.folder, name) for name in ("one", "two")), key=lambda replica: replica.id)
        self.honest, self.victim = replicas
        for replica in replicas:
            self.addCleanup(replica.kill)
        self.keys = [key_below(self.honest.id) for _ in range(LISTED)]
        # An address of its own for each key. Nobody listens there, unless the test does.
        self.addresses = [(SOURCE_HOST, free_port(SOURCE_HOST)) for _ in self.keys]
        listed = [(id_of(key), address) for key, address in zip(self.keys, self.addresses)]
        self.honest.configure([(self.victim.id, self.victim.address)] + listed)
        self.victim.configure([(self.honest.id, self.honest.address)] + listed)
        self.published = 0
        # Looked for at the start, so that this one takes no second.
        first = [(replica, replica.publish("first", os.urandom(FILE_BYTES))) for replica in replicas]
        for replica in replicas:
            replica.start()
        for replica, artifact in first:
            other = self.victim if replica is self.honest else self.honest
            until(f"{other.name} has the first file", lambda: other.holds(artifact), SERVED_SECONDS)

    def tearDown(self):
        if self.notes:
            print(f"    {self.id().split('.', 1)[1]}: {', '.join(self.notes)}", file=sys.stderr)

    def attack(self, attack):
        """Runs the coroutine `attack(counts)` beside the `with` block."""
        return Attack(attack)

    def assert_comes_to(self, attacked, name, least):
        """Waits until the attack has done so much of this: it takes place, however slow the machine is."""
        try:
            until(f"the attack comes to {least} {name}", lambda: attacked.counts[name] >= least, SERVED_SECONDS)
        except Failed as failure:
            raise Failed(f"{failure}: {dict(attacked.counts)}") from None

    def serve_once(self):
        """Publishes a file on each honest replica; returns after how long each was at the other one."""
        self.published += 1
        began = time.monotonic()
        files = {}
        for source, other in ((self.honest, self.victim), (self.victim, self.honest)):
            files[source.publish(f"file {self.published}", os.urandom(FILE_BYTES))] = (source, other)
        for artifact, (source, other) in files.items():
            try:
                until(
                    f"the file {artifact[:8]} of {source.name} is at {other.name}",
                    lambda: other.holds(artifact),
                    SERVED_SECONDS,
                )
            except Failed as failure:
                raise Failed(f"{failure}{self.victim.last_log()}{self.honest.last_log()}") from None
        return time.monotonic() - began

    def assert_served(self, seconds=ATTACK_SECONDS):
        """Files go both ways between the honest replicas for so long, two each way at least."""
        began, slowest, rounds = time.monotonic(), 0, 0
        while rounds < 2 or time.monotonic() - began < seconds:
            slowest = max(slowest, self.serve_once())
            rounds += 1
        self.notes.append(f"slowest file {slowest:.1f} s")

    def assert_unharmed(self, memory=MEMORY_BYTES):
        """No honest replica has taken too much memory, has shut the other one out, or ends other than clean."""
        for replica, other in ((self.victim, self.honest), (self.honest, self.victim)):
            used = replica.memory_bytes("VmHWM")
            role = "victim" if replica is self.victim else "honest"
            self.notes.append(f"{role} {used >> 20} MiB")
            self.assertLess(used, memory, f"the memory of the {role} one")
            log = replica.log()
            of_other = [line for line in log.splitlines() if other.id[:8] in line]
            words = "cut off|shut out|shuts us out|broke the protocol|broken the protocol"
            banned = [line for line in of_other if re.search(words, line)]
            self.assertEqual(banned, [], "an honest peer is banned")
            self.assertNotIn("panicked", log)
        for replica in (self.victim, self.honest):
            replica.stop()
            self.assertEqual(replica.torn(), [], f"the store of {replica.name}")

    def note(self, counts):
        """Has what the attack did shown with the test."""
        self.notes += [f"{name} {count}" for name, count in sorted(counts.items())]
