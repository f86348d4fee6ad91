"""Attacks by those who hold no listed key, or prove none: datagrams, handshakes, certificates, keys that are none.

Run one: see README.md. Limits: one source address; a flood is as fast as Python sends, which the notes of the test
show.
"""

import asyncio
import contextlib
import itertools
import os
import time
import unittest

import wire
from attacker import (
    Refused,
    certificate,
    client,
    dial,
    first_packets,
    key_below,
    no_keys,
    random_bytes,
    raw_key,
    udp_socket,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from scene import SERVED_SECONDS, HostileTest, until

# After how long a restarted honest replica has what it missed, while others flood the one that it dials.
RETURN_SECONDS = 3
# How long a test looks on before it says by how much that was missed.
PATIENCE_SECONDS = 40
RETURNS = 3
PACKETS_A_SECOND = 1000
# How many different first packets there are; then they come again.
DISTINCT_PACKETS = 1500


class Strangers(HostileTest):
    async def dial_in_vain(self, counts, key, shown=None, **options):
        """Dials again and again, and says something at once; counts the codes of the refusals.

        `shown` may be a dict of what to show in turn; then the dials are counted by name, too.
        """
        in_turn = shown if isinstance(shown, dict) else {"with one key": shown}
        for name, bytes_shown in itertools.cycle(in_turn.items()):
            try:
                async with dial(self.victim.address, key, shown=bytes_shown, **options) as connection:
                    for tag in wire.FLOWS:
                        connection.write(connection.open(tag), wire.retransmission(0))
                    code = await connection.wait_end()
            except Refused as refused:
                code = refused.code
            counts["dials"] += 1
            counts[name] += 1
            counts[f"closed with {code}"] += 1
            await asyncio.sleep(0.01)

    def assert_all_refused(self, counts):
        """Each attempt ended by a TLS alert, and that soon."""
        codes = [name for name in counts if name.startswith("closed with ")]
        refused = [name for name in codes if name.split()[-1].isdigit() and 0x100 <= int(name.split()[-1]) < 0x200]
        self.assertEqual(codes, refused, "not each attempt is refused by TLS")
        self.note(counts)

    def test_garbage_datagrams(self):
        async def attack(counts):
            with udp_socket() as sock:
                while True:
                    for _ in range(20):
                        data = random_bytes(1, 1500)
                        kind = counts["datagrams"] % 4
                        if kind == 1:  # A long header of a version that nobody speaks.
                            data = bytes([0xC0 | data[0]]) + data[1:]
                        elif kind == 2:  # A first packet that cannot be decrypted.
                            data = b"\xc0\x00\x00\x00\x01\x08" + os.urandom(8) + b"\x00\x00\x44\xb0" + os.urandom(1200)
                        elif kind == 3:  # As of a connection that there is not.
                            data = bytes([0x40 | data[0] & 0x3F]) + data[1:]
                        with contextlib.suppress(BlockingIOError):
                            sock.sendto(data, self.victim.address)
                            counts["datagrams"] += 1
                    await asyncio.sleep(0.01)

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "datagrams", 1000)
        self.note(attacked.counts)
        self.assert_unharmed()

    def test_an_unlisted_key(self):
        key = Ed25519PrivateKey.generate()
        with self.attack(lambda counts: self.dial_in_vain(counts, key)) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "dials", 2)
        self.assert_all_refused(attacked.counts)
        self.assert_unharmed()

    def test_an_unlisted_key_below_all_others(self):
        key = key_below(self.honest.id)
        with self.attack(lambda counts: self.dial_in_vain(counts, key)) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "dials", 2)
        self.assert_all_refused(attacked.counts)
        self.assert_unharmed()

    def test_the_key_of_another(self):
        """It is that of the honest replica, and we do not hold it."""
        ours = Ed25519PrivateKey.generate()
        shown = raw_key(Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.honest.id)))
        with self.attack(lambda counts: self.dial_in_vain(counts, ours, shown=shown)) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "dials", 2)
        self.assert_all_refused(attacked.counts)
        self.assert_unharmed()

    def test_a_certificate(self):
        """A listed key does not help, if it is not shown as a raw public key."""
        key = self.keys[0]
        shown = certificate(key.public_key(), key)
        with self.attack(lambda counts: self.dial_in_vain(counts, key, shown=shown)) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "dials", 2)
        self.assertEqual(attacked.counts[f"closed with {wire.HANDSHAKE_FAILURE}"], attacked.counts["dials"])
        self.assert_all_refused(attacked.counts)
        self.assert_unharmed()

    def test_keys_that_are_none(self):
        """Each is shown by one whose key is listed."""
        key = self.keys[0]
        shown = no_keys(key)
        with self.attack(lambda counts: self.dial_in_vain(counts, key, shown=shown)) as attacked:
            self.assert_served()
            for name in shown:
                self.assert_comes_to(attacked, name, 1)
        self.assertEqual(attacked.counts[f"closed with {wire.BAD_CERTIFICATE}"], attacked.counts["dials"])
        self.assert_all_refused(attacked.counts)
        self.assert_unharmed()

    def test_a_wrong_alpn(self):
        """A listed key does not help."""
        key = self.keys[0]
        with self.attack(lambda counts: self.dial_in_vain(counts, key, alpn=["h3", "gossip"])) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "dials", 2)
        self.assertEqual(attacked.counts[f"closed with {wire.NO_APPLICATION_PROTOCOL}"], attacked.counts["dials"])
        self.assert_all_refused(attacked.counts)
        self.assert_unharmed()

    def assert_returns(self):
        """The honest replica is restarted while a file waits for it, several times, and finds the victim soon."""
        slowest = 0
        for number in range(RETURNS):
            self.honest.stop()
            artifact = self.victim.publish(f"missed {number}", os.urandom(10_000))
            until("it is published", lambda: self.victim.holds(artifact), SERVED_SECONDS)
            self.honest.start()
            slowest = max(slowest, until("it has returned", lambda: self.honest.holds(artifact), PATIENCE_SECONDS))
        self.notes.append(f"slowest return {slowest:.1f} s")
        self.assertLess(slowest, RETURN_SECONDS, "a restarted replica is kept out")

    def test_a_return_without_an_attack(self):
        """What the two tests below compare with."""
        self.assert_returns()
        self.assert_unharmed()

    def test_a_flood_of_first_packets(self):
        """Handshakes that end with their first packet, whose sender answers nothing."""
        packets = first_packets(self.victim.address, Ed25519PrivateKey.generate(), DISTINCT_PACKETS)
        began = time.monotonic()

        async def attack(counts):
            with udp_socket() as sock:
                while True:
                    due = int((time.monotonic() - began) * PACKETS_A_SECOND)
                    # After a pause of this process it does not catch up at once.
                    for _ in range(min(due - counts["packets due"], 50)):
                        with contextlib.suppress(BlockingIOError):
                            sock.sendto(packets[counts["packets"] % len(packets)], self.victim.address)
                            counts["packets"] += 1
                    counts["packets due"] = due
                    await asyncio.sleep(0.005)

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_returns()
            self.assert_comes_to(attacked, "packets", 2000)
        self.note(attacked.counts)
        self.assert_unharmed()

    def test_a_flood_of_unfinished_handshakes(self):
        """The sender shows that it receives at its address, and then goes silent in the middle of the handshake."""
        key = Ed25519PrivateKey.generate()

        async def attack(counts):
            loop = asyncio.get_running_loop()
            waiting = {}
            with udp_socket() as sock:

                def receive():
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            data, address = sock.recvfrom(2000)
                            # Of a long header: kind, version, length of the id, id.
                            quic = waiting.pop(data[6 : 6 + data[5]], None) if data[0] & 0x80 else None
                            if quic is None:
                                continue
                            if data[0] & 0x30 != 0x30:
                                counts["answered"] += 1
                                continue
                            counts["retries"] += 1
                            quic.receive_datagram(data, address, now=loop.time())
                            for data, _ in quic.datagrams_to_send(now=loop.time()):
                                sock.sendto(data, address)

                loop.add_reader(sock, receive)
                try:
                    while True:
                        quic = client(key)
                        quic.connect(self.victim.address, now=loop.time())
                        waiting[quic.host_cid] = quic
                        if len(waiting) > 2000:
                            waiting.pop(next(iter(waiting)))
                        for data, _ in quic.datagrams_to_send(now=loop.time()):
                            with contextlib.suppress(BlockingIOError):
                                sock.sendto(data, self.victim.address)
                        counts["handshakes"] += 1
                        await asyncio.sleep(0.003)
                finally:
                    loop.remove_reader(sock)

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_returns()
            self.assert_comes_to(attacked, "handshakes", 200)
        self.note(attacked.counts)
        self.assert_unharmed()


if __name__ == "__main__":
    unittest.main(verbosity=2)
