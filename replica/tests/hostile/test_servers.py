"""Attacks by those whom the replicas dial: a listed address behind which somebody answers as nobody should.

Run one: see README.md. Both honest replicas list the attackers and dial them again and again. Limits: how soon is
dialled again is known by its bounds only, since the waits are drawn at random.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import time
import unittest

import wire
from aioquic.quic import events
from attacker import Connection, HalfHandshake, Shown, certificate, listen, no_keys, random_bytes, raw_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from scene import LISTED, SERVED_SECONDS, HostileTest, until

# How often one of two replicas dials one peer: the waits double from 50 ms to 5 s and are drawn at random below that.
DIALS_AT_FIRST = 15
DIALS_A_SECOND = 1
# With how many datagrams garbage answers each one that comes.
GARBAGE_A_DATAGRAM = 4


class Garbage(asyncio.DatagramProtocol):
    """Answers each datagram with several that look more or less like an answer."""

    def __init__(self, counts, met):
        self.counts = counts
        self.met = met  # The ids of the connections that are tried, of all who answer so.

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        if len(data) < 7 or not data[0] & 0x80:
            return
        # Of a long header: kind, version, length of the id, id; length of the sender's, its id.
        theirs = data[6 : 6 + data[5]]
        at = 6 + data[5]
        ours = data[at + 1 : at + 1 + data[at]]
        if theirs not in self.met:
            self.met.add(theirs)
            self.counts["dials"] += 1
        ids = bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs
        answers = (
            random_bytes(1, 1500),
            # First packets, and packets of the handshake, that cannot be decrypted.
            b"\xc0" + data[1:5] + ids + b"\x00" + b"\x44\xb0" + os.urandom(1200),
            b"\xe0" + data[1:5] + ids + b"\x44\xb0" + os.urandom(1200),
            # A request to come again with a token, whose seal is wrong.
            b"\xf0" + data[1:5] + ids + os.urandom(60),
            # As of a connection that there is.
            b"\x40" + ours + os.urandom(40),
        )
        for number in range(GARBAGE_A_DATAGRAM):
            self.transport.sendto(answers[(self.counts["datagrams"] + number) % len(answers)], address)
        self.counts["datagrams"] += 1


class OtherVersion(Garbage):
    """Says, in the form that QUIC has for it, that it speaks nothing but versions of the year 3000."""

    def datagram_received(self, data, address):
        if len(data) < 1200 or not data[0] & 0x80:
            return
        at = 6 + data[5]
        theirs, ours = data[6:at], data[at + 1 : at + 1 + data[at]]
        self.counts["dials"] += 1
        ids = bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs
        self.transport.sendto(b"\xc0\x00\x00\x00\x00" + ids + b"\x00\x00\x0b\xb8", address)


class Servers(HostileTest):
    def assert_dialled_in_vain(self, answer, words):
        """`answer(counts, key, address)` is a context in which somebody answers at the address of the key.

        The honest are served meanwhile, do not dial too often, and say `words`.
        """
        began = time.monotonic()

        async def attack(counts):
            async with contextlib.AsyncExitStack() as stack:
                for key, address in zip(self.keys, self.addresses):
                    await stack.enter_async_context(answer(counts, key, address))
                await asyncio.Event().wait()

        with self.attack(attack) as attacked:
            counts = attacked.counts
            try:
                for replica in (self.victim, self.honest):
                    until(f"{replica.name} says {words!r}", lambda: words in replica.log(), SERVED_SECONDS)
                self.assert_served()
            finally:
                self.note(counts)
            seconds = time.monotonic() - began
        most = 2 * LISTED * (DIALS_AT_FIRST + DIALS_A_SECOND * seconds)
        self.assertGreater(counts["dials"], 0)
        self.assertLess(counts["dials"], most, f"the attackers are dialled too often in {seconds:.1f} s")
        self.assert_unharmed()

    def quic(self, protocol=Connection, **options):
        """An answer by aioquic."""

        def connection(counts, *arguments, **named):
            counts["dials"] += 1
            return protocol(*arguments, **named)

        def answer(counts, key, address):
            return listen(address, key, functools.partial(connection, counts), **options)

        return answer

    @staticmethod
    def datagrams(protocol):
        """An answer by datagrams of our own making."""
        met = set()

        @contextlib.asynccontextmanager
        async def answer(counts, key, address):
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: protocol(counts, met), local_addr=address)
            try:
                yield
            finally:
                transport.close()

        return answer

    def test_garbage(self):
        self.assert_dialled_in_vain(self.datagrams(Garbage), "gives no answer")

    def test_another_version_of_quic(self):
        self.assert_dialled_in_vain(self.datagrams(OtherVersion), "it speaks another version of QUIC")

    def test_half_a_handshake(self):
        self.assert_dialled_in_vain(self.quic(HalfHandshake), "gives no answer")

    def test_another_key(self):
        other = Ed25519PrivateKey.generate()

        def answer(counts, key, address):
            return self.quic()(counts, other, address)

        self.assert_dialled_in_vain(answer, "answers with another key")

    def test_the_key_of_the_other_honest_one(self):
        """Each of the two is listed by the other, and neither is let in at the address of a third."""

        def answer(counts, key, address):
            theirs = Ed25519PrivateKey.generate()
            shown = raw_key(Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.honest.id)))
            return self.quic(shown=shown)(counts, theirs, address)

        self.assert_dialled_in_vain(answer, "answers with")

    def test_a_key_that_it_does_not_hold(self):
        """It shows the key that is wanted, and signs with another one."""

        def answer(counts, key, address):
            ours = Ed25519PrivateKey.generate()
            return self.quic(shown=raw_key(key.public_key()))(counts, ours, address)

        self.assert_dialled_in_vain(answer, "proves no key of a replica")

    def test_a_certificate(self):
        """Of the key that is wanted, which a replica shows as a raw public key."""

        def answer(counts, key, address):
            return self.quic(shown=certificate(key.public_key(), key))(counts, key, address)

        self.assert_dialled_in_vain(answer, "speaks no TLS with raw public keys")

    def test_keys_that_are_none(self):
        """Those who answer show one after the other."""
        names, met = itertools.cycle(no_keys(self.keys[0])), set()

        def answer(counts, key, address):
            shown = no_keys(key)

            def show(quic, *arguments, **named):
                counts["dials"] += 1
                name = next(names)
                met.add(name)
                quic.configuration.certificate = Shown(shown[name])
                return Connection(quic, *arguments, **named)

            return listen(address, key, show)

        self.assert_dialled_in_vain(answer, "shows no Ed25519 public key")
        self.assertEqual(met, set(no_keys(self.keys[0])))

    def test_a_wrong_alpn(self):
        self.assert_dialled_in_vain(self.quic(alpn=["h3", "gossip"]), "speaks no version of our protocol")

    def test_no_stream(self):
        """The handshake is as it should be, and then it says nothing."""
        self.assert_dialled_in_vain(self.quic(), "gives no answer")

    def test_a_goodbye_at_once(self):
        """With the code of one that breaks the protocol, in the middle of the handshake's end."""

        class Goodbye(Connection):
            def quic_event_received(self, event):
                super().quic_event_received(event)
                self.close(wire.CLOSE_BREACH)

        self.assert_dialled_in_vain(self.quic(Goodbye), "is left")

    def test_a_goodbye_after_the_first_stream(self):
        """It is served, and goes; and again."""

        class Flapping(Connection):
            def quic_event_received(self, event):
                super().quic_event_received(event)
                if isinstance(event, events.HandshakeCompleted):
                    self.open(wire.ADVERT)
                    self._loop.call_later(0.05, self.close)

        self.assert_dialled_in_vain(self.quic(Flapping), "a peer is down")

    def test_garbage_in_streams(self):
        """It is the one who was wanted, and breaks the protocol."""

        class Breach(Connection):
            said = False

            def quic_event_received(self, event):
                super().quic_event_received(event)
                if not self.said:
                    self.said = True
                    self.write(self.open(wire.ADVERT), random_bytes(1, 60_000) + b"\xff" * 8)

        self.assert_dialled_in_vain(self.quic(Breach), "cut off a peer that broke the protocol")


if __name__ == "__main__":
    unittest.main(verbosity=2)
