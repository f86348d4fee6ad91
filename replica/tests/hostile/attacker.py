"""A peer in another QUIC stack (aioquic) that does what a test asks, allowed or not.

Not a test. `dial` makes a connection, `listen` takes those that the victims make; `Attack` runs an attack on a thread
beside the test. All attackers send from another address of the loopback network than the honest replicas.
"""

import asyncio
import collections
import contextlib
import datetime
import logging
import os
import socket
import ssl
import threading
import time
import types

from aioquic import tls
from aioquic.asyncio import serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import MAX_STREAM_DATA_FRAME_CAPACITY, QuicConnection
from aioquic.quic.packet import QuicFrameType, pull_quic_header
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

import wire

# One for each process: others run at the same time, and their replicas must not dial these attackers.
SOURCE_HOST = f"127.66.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
DIAL_SECONDS = 10
# aioquic prints each failure, which here is what is wanted.
logging.getLogger("quic").setLevel(logging.CRITICAL + 1)
# How much an attacker has under way before it waits for the network.
WRITE_BYTES = 64 << 10
# How long an attack may take to end after the test has seen what it wanted.
END_SECONDS = 20


class Refused(Exception):
    """The victim has not let the connection in."""

    def __init__(self, code):
        super().__init__(f"refused with the code {code}")
        self.code = code


def key_below(other):
    """A key whose id is smaller than this one."""
    while True:
        key = Ed25519PrivateKey.generate()
        if id_of(key) < other:
            return key


def id_of(key):
    """The node id of a key: its public half in hexadecimal digits."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex()


def raw_key(public_key):
    """A public key as a replica shows it (RFC 7250)."""
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def certificate(public_key, signer):
    """A certificate for `public_key`, which no replica takes."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gossip")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    return builder.sign(signer, None)


def no_keys(key):
    """What may be shown in place of this key and is none that a replica takes, by name."""
    shown = raw_key(key.public_key())
    return {
        "nothing": b"",
        "a key cut short": shown[:-1],
        "a key and a byte": shown + b"\0",
        "a key, its length written at length": b"\x30\x81" + shown[1:],
        "a key on P-256": raw_key(ec.generate_private_key(ec.SECP256R1()).public_key()),
        "a key of Ed448": raw_key(Ed448PrivateKey.generate().public_key()),
        "a certificate": certificate(key.public_key(), key).public_bytes(serialization.Encoding.DER),
        "60 000 bytes": shown + bytes(60_000),
    }


# The extensions of the handshake by which both ends agree on raw public keys, and what stands for those (RFC 7250).
CLIENT_CERTIFICATE_TYPE, SERVER_CERTIFICATE_TYPE = 19, 20
RAW_PUBLIC_KEY = b"\x02"
# aioquic has room for 16 KiB of each part of a handshake.
HANDSHAKE_BYTES = 128 << 10


class Shown:
    """Bytes that go where aioquic would send a certificate."""

    def __init__(self, data):
        self._data = data

    def public_bytes(self, _encoding):
        return self._data


def with_raw_keys(quic):
    """Teaches a connection of aioquic that is not made yet raw public keys, of which aioquic knows nothing."""
    initialize = quic._initialize

    def teach(peer_cid):
        initialize(peer_cid)
        # One who dials says what it knows, in a list; one who answers says what it chooses.
        said = b"\x01" + RAW_PUBLIC_KEY if quic._is_client else RAW_PUBLIC_KEY
        quic.tls.handshake_extensions += [(CLIENT_CERTIFICATE_TYPE, said), (SERVER_CERTIFICATE_TYPE, said)]
        quic._crypto_buffers = {epoch: Buffer(capacity=HANDSHAKE_BYTES) for epoch in quic._crypto_buffers}

        def take(message):
            """Stands for the parsing of a certificate. The signature of the handshake is checked with this key."""
            try:
                key = serialization.load_der_public_key(message.certificates[0][0])
            except ValueError as error:
                raise tls.AlertBadCertificate("no public key") from error
            quic.tls._peer_certificate = types.SimpleNamespace(public_key=lambda: key)

        quic.tls._set_peer_certificate = take

    quic._initialize = teach
    return quic


def identify(configuration, key, shown):
    """Has a connection sign with `key` and show `shown`; returns what it has to be taught for that."""
    configuration.private_key = key
    if isinstance(shown, x509.Certificate):
        configuration.certificate = shown
        return lambda quic: quic
    configuration.certificate = Shown(raw_key(key.public_key()) if shown is None else shown)
    return with_raw_keys


class Connection(QuicConnectionProtocol):
    """One connection. `on_frame(tag, payload)` is called for what the victim says."""

    def __init__(self, quic, stream_handler=None):
        super().__init__(quic, stream_handler)
        self.terminated = None
        self.on_frame = None
        self.stopped = {}  # The codes with which the victim has stopped streams of ours.
        self._incoming = collections.defaultdict(wire.Frames)

    def quic_event_received(self, event):
        if isinstance(event, events.ConnectionTerminated):
            self.terminated = event
        elif isinstance(event, events.StopSendingReceived):
            self.stopped[event.stream_id] = event.error_code
        elif isinstance(event, events.StreamDataReceived) and self.on_frame is not None:
            frames = self._incoming[event.stream_id]
            for payload in frames.feed(event.data):
                self.on_frame(frames.tag, payload)

    def open(self, tag):
        """Opens a stream that begins with this byte."""
        stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self.write(stream, bytes([tag]))
        return stream

    def write(self, stream, data, end=False):
        if self.terminated is None:
            # The victim may have stopped the stream; then aioquic has reset it.
            with contextlib.suppress(RuntimeError, ValueError):
                self._quic.send_stream_data(stream, data, end_stream=end)
            self._transmit_soon()

    def reset(self, stream):
        if self.terminated is None:
            self._quic.reset_stream(stream, 9)
            self._transmit_soon()

    def pending(self, stream):
        """Whether there is something written to the stream and not yet sent."""
        state = self._quic._streams.get(stream)
        return state is not None and not state.sender.buffer_is_empty

    async def flush(self, stream):
        """Waits until all is sent, or the connection has ended."""
        while self.terminated is None and self.pending(stream):
            await asyncio.sleep(0.002)

    async def wait_end(self, seconds=DIAL_SECONDS):
        """Waits until the victim has closed it; returns the code, `None` if it is still open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_closed()
        return None if self.terminated is None else self.terminated.error_code

    def stop_reading(self):
        """Never again tells the victim that it may send more."""
        self._quic._write_connection_limits = lambda *_, **__: None
        self._quic._write_stream_limits = lambda *_, **__: None

    def read_by_hand(self, window):
        """From now on the victim may send so much more in each stream whenever what is returned is called."""
        quic, allowed = self._quic, window

        def write(builder, space, stream):
            if stream.max_stream_data_local and stream.max_stream_data_local_sent < allowed:
                frame = builder.start_frame(QuicFrameType.MAX_STREAM_DATA, MAX_STREAM_DATA_FRAME_CAPACITY)
                frame.push_uint_var(stream.stream_id)
                frame.push_uint_var(allowed)
                stream.max_stream_data_local = stream.max_stream_data_local_sent = allowed

        def read_on():
            nonlocal allowed
            allowed += window
            self._transmit_soon()

        quic._write_stream_limits = write
        return read_on

    def ignore_limits(self):
        """Opens as many streams as it likes, whatever the victim allows."""
        self._quic._remote_max_streams_uni = 1 << 40

    def drop(self):
        """Goes without a word."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.close()


def client(key, alpn=wire.PROTOCOLS, shown=None, window=1 << 20):
    """aioquic's side of a connection that is not made yet.

    `shown` are other bytes than the key's own in place of a raw public key, or a certificate.
    """
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=list(alpn),
        verify_mode=ssl.CERT_NONE,
        idle_timeout=30,
        max_data=window,
        max_stream_data=window,
    )
    taught = identify(configuration, key, shown)
    return taught(QuicConnection(configuration=configuration))


@contextlib.asynccontextmanager
async def listen(address, key, protocol=Connection, alpn=wire.PROTOCOLS, shown=None):
    """Answers all who dial there, until the end of the block. Each connection is a `protocol(quic)`."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=list(alpn), idle_timeout=30)
    taught = identify(configuration, key, shown)

    def answer(quic, *arguments, **named):
        return protocol(taught(quic), *arguments, **named)

    server = await serve(*address, configuration=configuration, create_protocol=answer)
    try:
        yield
    finally:
        server.close()


class HalfHandshake(Connection):
    """Says no more than the first QUIC packet of its answer, which has no certificate in it."""

    _said = False

    def transmit(self):
        self._transmit_task = None
        for data, address in self._quic.datagrams_to_send(now=self._loop.time()):
            if not self._said:
                buffer = Buffer(data=data)
                header = pull_quic_header(buffer, host_cid_length=8)
                self._transport.sendto(data[: header.packet_length], address)
            self._said = True


def udp_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((SOURCE_HOST, 0))
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def dial(address, key, **options):
    """A connection whose handshake is done on our side; what the victim thinks of our key comes later.

    Raises `Refused` if the victim refuses before that.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_datagram_endpoint(lambda: Connection(client(key, **options)), sock=udp_socket())
    try:
        connection.connect(address)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await connection.wait_connected()
        except (ConnectionError, TimeoutError):
            raise Refused(connection.terminated and connection.terminated.error_code) from None
        yield connection
        if connection.terminated is None:
            connection.close()
    finally:
        connection.drop()


def first_packets(address, key, count):
    """The first packets of so many handshakes, none of which will go on."""
    packets = []
    for _ in range(count):
        quic = client(key)
        quic.connect(address, now=time.monotonic())
        packets += [data for data, _ in quic.datagrams_to_send(now=time.monotonic())]
    return packets


def random_bytes(least, most):
    return os.urandom(least + int.from_bytes(os.urandom(2), "big") % (most - least + 1))


class Attack:
    """Runs `attack(counts)`, a coroutine, on a thread of its own for as long as the `with` block takes.

    The coroutine counts what it does in `counts`, so that a test sees that the attack took place. What it raises is
    raised at the end of the block.
    """

    def __init__(self, attack):
        self.counts = collections.Counter()
        self._attack = attack
        self._error = None
        self._loop = asyncio.new_event_loop()
        self._task = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._attack(self.counts))
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        with contextlib.suppress(RuntimeError):  # It has ended by itself.
            self._loop.call_soon_threadsafe(lambda: self._task.cancel())
        self._thread.join(END_SECONDS)
        if kind is None:
            if self._thread.is_alive():
                raise AssertionError("the attack does not end")
            if self._error is not None:
                raise self._error
