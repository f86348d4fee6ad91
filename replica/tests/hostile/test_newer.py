"""A peer of another version, mostly a later one, which says what this one does not know. It must not be banned.

Run one: see README.md. Each test asserts that the connection lives on, and that a file which only this peer has is
fetched from it. Limits: guesses of what a later version may say, within the streams that this one allows.
"""

import asyncio
import hashlib
import os
import unittest

import wire
from attacker import dial
from scene import CHUNK_BYTES, SERVED_SECONDS, HostileTest, until


class Newer(HostileTest):
    def assert_understood(self, say=None, alpn=wire.PROTOCOLS, advert=lambda frame: frame):
        """`say(connection)` is what comes first; `advert` changes the advert of the file that only this peer has.

        Returns the streams that the victim has stopped, with their codes.
        """
        content = os.urandom(CHUNK_BYTES - 9)
        artifact = hashlib.sha256(content).digest()
        stopped = {}

        async def attack(counts):
            async with dial(self.victim.address, self.keys[0], alpn=alpn) as connection:
                connection.stopped = stopped
                chunks = connection.open(wire.CHUNK)

                def on_frame(tag, payload):
                    if tag == wire.REQUEST:
                        counts["asked"] += 1
                        connection.write(chunks, wire.chunk(artifact, 0, content))
                    elif tag == wire.HELLO:
                        counts["hellos"] += 1

                connection.on_frame = on_frame
                if say is not None:
                    say(connection, chunks)
                await asyncio.sleep(0.3)  # The advert comes after it.
                connection.write(connection.open(wire.ADVERT), advert(wire.advert(artifact, len(content), CHUNK_BYTES)))
                code = await connection.wait_end(600)
                counts[f"closed with {code}, {connection.terminated.reason_phrase!r}"] += 1

        with self.attack(attack) as attacked:
            try:
                until("its file is fetched", lambda: self.victim.holds(artifact.hex()), SERVED_SECONDS)
            finally:
                self.note(attacked.counts)
            self.assert_served(0)
        self.assertEqual([name for name in attacked.counts if name.startswith("closed")], [])
        self.assertEqual(attacked.counts["hellos"], alpn != wire.PROTOCOLS[-1:], "how often the victim says hello")
        self.assertNotIn("broke the protocol", self.victim.log())
        self.assert_unharmed()
        return stopped

    def test_streams_of_unknown_flows(self):
        """As many at a time as there may be beside the four of the flows; then all that there may ever be."""
        streams = []

        def say(connection, _):
            for number in range(wire.MAX_STREAMS - len(wire.FLOWS)):
                streams.append(connection.open(200 + number))
                connection.write(streams[-1], wire.frame(wire.bytes_field(9, b"something new")) * 20)

        stopped = self.assert_understood(say)
        self.assertEqual(stopped, dict.fromkeys(streams, wire.STOP_UNKNOWN))
        self.assertIn("skipped a stream", self.victim.log())

    def test_more_streams_of_unknown_flows_than_there_may_be(self):
        """There are as many as allowed, which is borne, and then one more."""

        async def attack(counts):
            async with dial(self.victim.address, self.keys[0]) as connection:
                while connection.terminated is None and counts["streams"] <= wire.MAX_UNKNOWN_STREAMS:
                    stream = connection.open(200)
                    counts["streams"] += 1
                    while connection.terminated is None and stream not in connection.stopped:
                        await asyncio.sleep(0.002)
                    counts["skipped"] += connection.stopped.get(stream) == wire.STOP_UNKNOWN
                counts[f"closed with {await connection.wait_end()}"] += 1

        with self.attack(attack) as attacked:
            counts = attacked.counts
            until("it is cut off", lambda: counts[f"closed with {wire.CLOSE_BREACH}"], SERVED_SECONDS)
            self.assert_served(0)
        self.note(counts)
        self.assertEqual(counts["skipped"], wire.MAX_UNKNOWN_STREAMS)
        self.assert_unharmed()

    def test_an_unknown_body(self):
        def say(connection, chunks):
            connection.write(chunks, wire.frame(wire.bytes_field(5, b"something new")) * 20)

        self.assert_understood(say)

    def test_unknown_fields(self):
        def advert(frame):
            return wire.frame(frame[4:] + wire.number_field(7, 3) + wire.bytes_field(8, b"something new"))

        self.assert_understood(advert=advert)

    def test_a_longer_hello(self):
        """All features that there will ever be, more in the hello, and more behind it."""

        def say(connection, _):
            hello = wire.hello((1 << 64) - 1, b"something new")
            connection.write(connection.open(wire.HELLO), hello + wire.frame(b"something newer"))

        self.assert_understood(say)

    def test_a_list_of_versions(self):
        self.assert_understood(alpn=("gossip/99", *wire.PROTOCOLS))

    def test_the_oldest_version(self):
        """A peer of the version before hellos, which takes one for a breach, gets none."""
        self.assert_understood(alpn=wire.PROTOCOLS[-1:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
