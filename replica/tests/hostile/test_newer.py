"""A peer of a later version, which says what this version does not know. It is no attacker, and must not be banned.

Run one: see README.md. Each test asserts that the connection lives on, and that a file which only this peer has is
fetched from it. Limits: guesses of what a later version may say, within the four streams that this one allows.
"""

import asyncio
import hashlib
import os
import unittest

import wire
from attacker import dial
from scene import CHUNK_BYTES, SERVED_SECONDS, HostileTest, until


class Newer(HostileTest):
    def assert_understood(self, say=None, alpn=(wire.ALPN,), advert=lambda frame: frame):
        """`say(connection)` is what comes first; `advert` changes the advert of the file that only this peer has."""
        content = os.urandom(CHUNK_BYTES - 9)
        artifact = hashlib.sha256(content).digest()

        async def attack(counts):
            async with dial(self.victim.address, self.keys[0], alpn=alpn) as connection:
                chunks = connection.open(wire.CHUNK)

                def on_frame(tag, payload):
                    if tag == wire.REQUEST:
                        counts["asked"] += 1
                        connection.write(chunks, wire.chunk(artifact, 0, content))

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
        self.assertNotIn("broke the protocol", self.victim.log())
        self.assert_unharmed()

    def test_a_stream_of_an_unknown_flow(self):
        def say(connection, _):
            connection.write(connection.open(200), wire.frame(wire.bytes_field(9, b"something new")) * 20)

        self.assert_understood(say)

    def test_an_unknown_body(self):
        def say(connection, chunks):
            connection.write(chunks, wire.frame(wire.bytes_field(5, b"something new")) * 20)

        self.assert_understood(say)

    def test_unknown_fields(self):
        def advert(frame):
            return wire.frame(frame[4:] + wire.number_field(7, 3) + wire.bytes_field(8, b"something new"))

        self.assert_understood(advert=advert)

    def test_a_list_of_versions(self):
        self.assert_understood(alpn=("gossip/99", "gossip/2", wire.ALPN))


if __name__ == "__main__":
    unittest.main(verbosity=2)
