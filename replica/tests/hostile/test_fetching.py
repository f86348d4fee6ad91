"""A listed peer that the victim fetches from: it stalls, trickles or lies, while an honest peer has the file too.

Run one: see README.md. The attacker knows a file before the honest replica publishes it, as one that conspires with
its author would, so the victim asks the attacker first. Limits: a file has to arrive in FETCH_SECONDS, of which the
looking through the folder takes one or two.
"""

import asyncio
import hashlib
import os
import unittest

import wire
from attacker import dial
from scene import CHUNK_BYTES, HostileTest, until

# Half of the time after which a chunk was asked of another peer whatever was known of the peer.
FETCH_SECONDS = 8
# How long a test looks on before it says by how much that was missed.
PATIENCE_SECONDS = 60
FILES = 3


class Fetching(HostileTest):
    def assert_fetched_in_time(self, chunks, answer):
        """Files of so many chunks are fetched in time, though the attacker offers each of them first.

        `answer(counts, artifact, number, content)` is what the attacker says to a request: a frame, or nothing.
        """
        contents = [os.urandom(chunks * CHUNK_BYTES - 7) for _ in range(FILES)]
        by_artifact = {hashlib.sha256(content).digest(): content for content in contents}
        offers = asyncio.Queue()

        async def attack(counts):
            async with dial(self.victim.address, self.keys[0]) as connection:
                adverts, chunk_stream = connection.open(wire.ADVERT), connection.open(wire.CHUNK)

                def on_frame(tag, payload):
                    if tag != wire.REQUEST:
                        return
                    body = wire.read_fields(wire.read_fields(payload)[wire.REQUEST])
                    artifact, number = body[1], body.get(3, 0)
                    counts["asked"] += 1
                    counts["asked " + artifact.hex()[:8]] += 1
                    said = answer(counts, artifact, number, by_artifact[artifact])
                    if said is not None:
                        counts["answered"] += 1
                        connection.write(chunk_stream, said)

                connection.on_frame = on_frame
                while True:
                    content = await offers.get()
                    artifact = hashlib.sha256(content).digest()
                    connection.write(adverts, wire.advert(artifact, len(content), CHUNK_BYTES))
                    counts["offered"] += 1

        times = []
        with self.attack(attack) as attacked:
            for number, content in enumerate(contents):
                artifact = hashlib.sha256(content).hexdigest()
                attacked._loop.call_soon_threadsafe(offers.put_nowait, content)
                # One that is not believed any more is not asked, and that is well too.
                if number == 0:
                    until("the attacker is asked", lambda: attacked.counts["asked"] > 0, 20)
                self.honest.publish(f"known before {number}", content)
                times.append(until("it is fetched", lambda: self.victim.holds(artifact), PATIENCE_SECONDS))
        self.notes.append(f"fetched after {', '.join(f'{time:.1f}' for time in times)} s")
        self.notes.append(f"asked {attacked.counts['asked']}, answered {attacked.counts['answered']}")
        self.assertLess(max(times), FETCH_SECONDS, f"the attacker holds up a file: {times}")
        self.assert_unharmed()

    def test_a_peer_that_stalls(self):
        """Files of one chunk, for which it never answers."""
        self.assert_fetched_in_time(1, lambda counts, artifact, number, content: None)

    def test_a_peer_that_stalls_large_files(self):
        """Files of forty chunks, for which it never answers."""
        self.assert_fetched_in_time(40, lambda counts, artifact, number, content: None)

    def test_a_peer_that_answers_one_request_in_nineteen(self):
        """Rightly, so that it is never silent for long."""

        def answer(counts, artifact, number, content):
            if counts["asked"] % 19:
                return None
            return wire.chunk(artifact, number, content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])

        self.assert_fetched_in_time(40, answer)

    def test_a_peer_that_lies(self):
        """It answers at once, with bytes of its own."""

        def answer(counts, artifact, number, content):
            length = len(content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])
            return wire.chunk(artifact, number, os.urandom(length))

        self.assert_fetched_in_time(5, answer)


if __name__ == "__main__":
    unittest.main(verbosity=2)
