"""Attacks by those who hold a listed key: streams and frames, floods, and a peer that never reads.

Run one: see README.md. Limits: what a breach leads to is not looked at byte by byte, since the Rust tests do
(`tests/transport/hostile.rs`); here the breaches come again and again, from several peers at once.
"""

import asyncio
import itertools
import os
import unittest

import wire
from attacker import WRITE_BYTES, Refused, dial, random_bytes
from scene import ATTACK_SECONDS, CHUNK_BYTES, LISTED, SERVED_SECONDS, HostileTest, until

# What the victim may read from its disk for a peer that takes no answer: what the transport queues and QUIC has under
# way, and a little.
UNREAD_BYTES = 16 << 20
# How many requests that peer sends at the most.
REQUESTS = 40_000
# The most that the store of a victim may hold whose space is attacked.
STORE_BYTES = 256 << 20
# A chunk with all that is around it.
CHUNK_FRAME_BYTES = CHUNK_BYTES + 100
# How many streams are opened at once by one that ignores what it is allowed. aioquic takes long for more.
STREAMS = 500


class Listed(HostileTest):
    async def again(self, counts, key, misdeed):
        """Connects, does it, waits to be thrown out; and again, whether shut out or not."""
        while True:
            try:
                async with dial(self.victim.address, key) as connection:
                    counts["dials"] += 1
                    await misdeed(connection)
                    code = await connection.wait_end()
                    counts[f"closed with {code}"] += 1
            except Refused:
                counts["refused"] += 1
            await asyncio.sleep(0.05)

    def all_do(self, *misdeeds):
        """An attack in which each listed attacker does one of these again and again."""

        async def attack(counts):
            async with asyncio.TaskGroup() as group:
                for number, key in enumerate(self.keys):
                    group.create_task(self.again(counts, key, misdeeds[number % len(misdeeds)]))

        return attack

    def assert_cut_off(self, attack):
        """The honest are served, and the attackers are cut off and shut out."""
        with self.attack(attack) as attacked:
            counts = attacked.counts
            try:
                self.assert_served()
                for code in (wire.CLOSE_BREACH, wire.CLOSE_SHUT_OUT):
                    until(f"one is closed with {code}", lambda: counts[f"closed with {code}"] > 0, SERVED_SECONDS)
            finally:
                self.note(counts)
        self.assertEqual(counts["closed with None"], 0, "a breach that is not noticed")
        self.assert_unharmed()

    def test_garbage_in_streams(self):
        def garbage(tag):
            async def misdeed(connection):
                connection.write(connection.open(tag), random_bytes(1, 60_000) + b"\xff" * 8)

            return misdeed

        self.assert_cut_off(self.all_do(*(garbage(tag) for tag in wire.FLOWS)))

    def test_garbage_in_frames(self):
        """The lengths are right, the messages are none."""

        def garbage(tag):
            async def misdeed(connection):
                connection.write(connection.open(tag), wire.frame(b"\x00" + os.urandom(500)))

            return misdeed

        self.assert_cut_off(self.all_do(*(garbage(tag) for tag in wire.FLOWS)))

    def test_oversized_frames(self):
        def oversized(tag, length):
            async def misdeed(connection):
                connection.write(connection.open(tag), length.to_bytes(4, "big") + os.urandom(60_000))

            return misdeed

        self.assert_cut_off(
            self.all_do(
                oversized(wire.ADVERT, (16 << 10) + 257),
                oversized(wire.REQUEST, (1 << 10) + 257),
                oversized(wire.CHUNK, (2 << 20) + (1 << 10) + 257),
                oversized(wire.RETRANSMISSION, 0xFFFFFFFF),
            )
        )

    def test_empty_frames_and_wrong_flows(self):
        async def empty(connection):
            connection.write(connection.open(wire.ADVERT), wire.frame(b""))

        async def wrong_flow(connection):
            connection.write(connection.open(wire.CHUNK), wire.request(bytes(32), 0))

        self.assert_cut_off(self.all_do(empty, wrong_flow))

    def test_hellos_that_are_none(self):
        """Too short, too long, ended in the middle, and a second one."""

        def hello(content, end=False):
            async def misdeed(connection):
                connection.write(connection.open(wire.HELLO), content, end=end)

            return misdeed

        async def second(connection):
            for _ in range(2):
                connection.write(connection.open(wire.HELLO), wire.hello(1))

        self.assert_cut_off(
            self.all_do(
                hello(wire.frame(bytes(7))),
                hello((1025).to_bytes(4, "big") + bytes(1025)),
                hello(wire.hello(1)[:-3], end=True),
                second,
            )
        )

    def test_resets_in_frames(self):
        def reset(tag):
            async def misdeed(connection):
                stream = connection.open(tag)
                connection.write(stream, wire.frame(os.urandom(900))[:500])
                await connection.flush(stream)
                await asyncio.sleep(0.02)  # Some get there before the reset does.
                connection.reset(stream)

            return misdeed

        self.assert_cut_off(self.all_do(*(reset(tag) for tag in wire.FLOWS)))

    def test_streams_that_end_in_frames(self):
        def ends(tag):
            async def misdeed(connection):
                connection.write(connection.open(tag), wire.frame(os.urandom(900))[:500], end=True)

            return misdeed

        self.assert_cut_off(self.all_do(*(ends(tag) for tag in wire.FLOWS)))

    def test_slow_streams(self):
        """A byte a second in each stream, of a frame that would be the largest allowed. That is no breach."""
        sizes = {wire.ADVERT: 16 << 10, wire.REQUEST: 1 << 10, wire.CHUNK: 2 << 20, wire.RETRANSMISSION: 1 << 10}

        async def slow(counts, key):
            async with dial(self.victim.address, key) as connection:
                streams = []
                for tag, size in sizes.items():
                    streams.append(connection.open(tag))
                    connection.write(streams[-1], size.to_bytes(4, "big"))
                while connection.terminated is None:
                    for stream in streams:
                        connection.write(stream, b"\x0a")
                        counts["bytes"] += 1
                    await asyncio.sleep(1)
                counts["ended"] += 1

        async def attack(counts):
            async with asyncio.TaskGroup() as group:
                for key in self.keys:
                    group.create_task(slow(counts, key))

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "bytes", 4 * len(self.keys))
        self.note(attacked.counts)
        self.assertEqual(attacked.counts["ended"], 0)
        self.assert_unharmed()

    def test_more_streams_than_allowed(self):
        async def thousands(connection):
            connection.ignore_limits()
            for number in range(STREAMS):
                connection.open(wire.FLOWS[number % 4])

        with self.attack(self.all_do(thousands)) as attacked:
            counts = attacked.counts
            self.assert_served()
            # QUIC's own words, STREAM_LIMIT_ERROR.
            until("one is closed for it", lambda: counts["closed with 4"] > 0, SERVED_SECONDS)
        self.note(counts)
        self.assert_unharmed()

    def test_thousands_of_streams_one_after_the_other(self):
        """As many as are allowed at a time, each ended or reset after a byte or two, some with tags of no flow."""

        async def streams(counts, key, end):
            while True:
                try:
                    async with dial(self.victim.address, key) as connection:
                        tag = 0
                        while connection.terminated is None:
                            tag = tag % 255 + 1
                            stream = connection.open(100 + tag % 100)
                            await connection.flush(stream)
                            end(connection, stream)
                            counts["streams"] += 1
                            await asyncio.sleep(0.001)
                        counts["ended"] += 1
                except Refused:
                    counts["refused"] += 1
                await asyncio.sleep(0.05)

        async def attack(counts):
            async with asyncio.TaskGroup() as group:
                for number, key in enumerate(self.keys):
                    if number % 2:
                        group.create_task(streams(counts, key, lambda connection, stream: connection.reset(stream)))
                    else:
                        group.create_task(
                            streams(counts, key, lambda connection, stream: connection.write(stream, b"", end=True))
                        )

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "streams", 10)
        self.note(attacked.counts)
        self.assert_unharmed()

    def test_connections_one_after_the_other(self):
        """Each as it should be, given up for the next one at once, without a word or with one."""

        async def connections(counts, key, say):
            while True:
                try:
                    async with dial(self.victim.address, key) as connection:
                        counts["dials"] += 1
                        if say:
                            connection.write(connection.open(wire.RETRANSMISSION), wire.retransmission(0))
                            await asyncio.sleep(0.05)
                        else:
                            connection.drop()
                except Refused:
                    counts["refused"] += 1

        async def attack(counts):
            async with asyncio.TaskGroup() as group:
                for number, key in enumerate(self.keys):
                    group.create_task(connections(counts, key, number % 2))

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "dials", 10)
        self.note(attacked.counts)
        self.assert_unharmed()

    async def flood(self, counts, key, tag, batch, most=None):
        """Writes `batch()`, a list of frames, again and again, as fast as the victim takes it.

        Is there again when its connection ends, as the victim may decide.
        """
        while True:
            try:
                async with dial(self.victim.address, key) as connection:
                    stream = connection.open(tag)
                    while connection.terminated is None and (most is None or counts["frames"] < most):
                        frames = batch()
                        connection.write(stream, b"".join(frames))
                        await connection.flush(stream)
                        counts["frames"] += len(frames)
                        await asyncio.sleep(0)
                    await connection.wait_end(600)
                    counts["ended"] += 1
            except Refused:
                counts["refused"] += 1
            await asyncio.sleep(0.05)

    def assert_flood_is_borne(self, tag, batch, least):
        async def attack(counts):
            async with asyncio.TaskGroup() as group:
                for key in self.keys[:2]:
                    group.create_task(self.flood(counts, key, tag, batch))

        with self.attack(attack) as attacked:
            self.assert_served()
            self.assert_comes_to(attacked, "frames", least)
        self.note(attacked.counts)
        self.assert_unharmed()

    def test_a_flood_of_adverts(self):
        """Of artifacts that do not exist."""
        self.assert_flood_is_borne(
            wire.ADVERT,
            lambda: [wire.advert(os.urandom(32), 100_000, CHUNK_BYTES) for _ in range(100)],
            2000,
        )

    def test_a_flood_of_adverts_for_all_space(self):
        """Of files that do not exist, of all sizes, which together take whatever the store may hold."""
        self.victim.stop()
        self.victim.limit_store(STORE_BYTES)
        self.victim.start()
        sizes = itertools.cycle(STORE_BYTES >> shift for shift in range(13))
        self.assert_flood_is_borne(
            wire.ADVERT, lambda: [wire.advert(os.urandom(32), next(sizes), CHUNK_BYTES) for _ in range(100)], 2000
        )

    def test_a_flood_of_requests_for_nothing(self):
        self.assert_flood_is_borne(wire.REQUEST, lambda: [wire.request(os.urandom(32), 0) for _ in range(100)], 500)

    def test_a_flood_of_requests_for_something(self):
        content = os.urandom(20 * CHUNK_BYTES)
        artifact = self.victim.publish("wanted", content)
        until("it is published", lambda: self.victim.holds(artifact), SERVED_SECONDS)
        self.assert_flood_is_borne(
            wire.REQUEST, lambda: [wire.request(bytes.fromhex(artifact), number) for number in range(20)], 200
        )

    def test_a_flood_of_retransmission_requests(self):
        self.assert_flood_is_borne(wire.RETRANSMISSION, lambda: [wire.retransmission(0)] * 100, 500)

    def test_a_flood_of_chunks_that_nobody_asked_for(self):
        content = os.urandom(128 << 10)
        self.assert_flood_is_borne(wire.CHUNK, lambda: [wire.chunk(os.urandom(32), 0, content)], 4)

    def assert_reads_little(self, attack, **least):
        """What the victim reads from its disk stays in proportion to what is taken.

        `attack(counts, requests)` may send these requests again and again, and comes to `least`. Returns its counts.
        """
        artifact = self.victim.publish("wanted", os.urandom(64 * CHUNK_BYTES))
        for replica in (self.victim, self.honest):
            until("it is there", lambda: replica.holds(artifact), SERVED_SECONDS)
        requests = [wire.request(bytes.fromhex(artifact), number) for number in range(64)]

        before = self.victim.io_bytes("rchar")
        self.assert_served()
        quiet = self.victim.io_bytes("rchar") - before

        before = self.victim.io_bytes("rchar")
        with self.attack(lambda counts: attack(counts, requests)) as attacked:
            self.assert_served(2 * ATTACK_SECONDS)
            for name, count in least.items():
                self.assert_comes_to(attacked, name, count)
        attacked_reads = self.victim.io_bytes("rchar") - before
        self.note(attacked.counts)
        self.notes.append(f"read {attacked_reads >> 10} KiB, without the attack {quiet >> 10} KiB")
        # The attacked time is longer than the quiet one.
        self.assertLess(attacked_reads, 4 * quiet + UNREAD_BYTES, "bytes read from the disk for answers not taken")
        self.assert_unharmed()
        return attacked.counts

    async def ask_on(self, counts, connection, requests):
        stream = connection.open(wire.REQUEST)
        while connection.terminated is None and counts["requests"] < REQUESTS:
            connection.write(stream, b"".join(requests))
            await connection.flush(stream)
            counts["requests"] += len(requests)
            await asyncio.sleep(0)
        await connection.wait_end(600)
        counts["ended"] += 1

    def test_one_that_never_reads_and_repeats_its_requests(self):
        async def attack(counts, requests):
            async with dial(self.victim.address, self.keys[0], window=WRITE_BYTES) as connection:
                connection.stop_reading()
                await self.ask_on(counts, connection, requests)

        self.assert_reads_little(attack, requests=65)

    def test_some_that_read_a_chunk_a_second_and_repeat_their_requests(self):
        """None is ever silent, and each takes something of each flow."""

        async def read_slowly(counts, key, requests):
            async with dial(self.victim.address, key, window=CHUNK_FRAME_BYTES) as connection:
                read_on = connection.read_by_hand(CHUNK_FRAME_BYTES)

                def on_frame(tag, _):
                    counts["chunks"] += tag == wire.CHUNK

                connection.on_frame = on_frame
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.ask_on(counts, connection, requests))
                    while True:
                        await asyncio.sleep(1)
                        read_on()

        async def attack(counts, requests):
            async with asyncio.TaskGroup() as group:
                for key in self.keys:
                    group.create_task(read_slowly(counts, key, requests))

        counts = self.assert_reads_little(attack, requests=65, chunks=LISTED + 1)
        self.assertEqual(counts["ended"], 0, "to be slow is no breach")


if __name__ == "__main__":
    unittest.main(verbosity=2)
