"""What replicas say to each other, as bytes: see src/wire/schema.proto and replica/src/transport/frame.rs.

Not a test. A second reading of the protocol, by hand: nothing here is taken from the program that is tested.
Limits: it checks nothing, so that what is forbidden can be said too.
"""

# The newest protocol first. The oldest has no hello.
PROTOCOLS = ("gossip/2", "gossip/1")

# The first byte of a stream, and the number of the body in every frame of it. A hello has no message in it.
HELLO, ADVERT, REQUEST, CHUNK, RETRANSMISSION = 0, 1, 2, 3, 4
FLOWS = (ADVERT, REQUEST, CHUNK, RETRANSMISSION)

# How the program says goodbye, and how it stops a stream that it does not know. After so many of those it says goodbye.
CLOSE_BREACH, CLOSE_SHUT_OUT = 1, 3
STOP_UNKNOWN = 6
MAX_UNKNOWN_STREAMS = 64
# How many streams a peer may have open.
MAX_STREAMS = 8
# TLS alerts are QUIC errors from 0x100 on.
HANDSHAKE_FAILURE = 0x100 + 40
BAD_CERTIFICATE = 0x100 + 42
NO_APPLICATION_PROTOCOL = 0x100 + 120


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field, number):
    return varint(field << 3) + varint(number)


def bytes_field(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def frame(payload):
    return len(payload).to_bytes(4, "big") + payload


def hello(features, more=b""):
    return frame(features.to_bytes(8, "big") + more)


def advert(artifact, size, chunk_bytes, height=1):
    attributes = number_field(1, height) + number_field(2, chunk_bytes)
    body = bytes_field(1, artifact) + number_field(2, size) + bytes_field(3, artifact) + bytes_field(4, attributes)
    return frame(bytes_field(ADVERT, body))


def request(artifact, number):
    body = bytes_field(1, artifact) + bytes_field(2, artifact) + number_field(3, number)
    return frame(bytes_field(REQUEST, body))


def chunk(artifact, number, content):
    body = bytes_field(1, artifact) + bytes_field(2, artifact) + number_field(3, number) + bytes_field(4, content)
    return frame(bytes_field(CHUNK, body))


def retransmission(height):
    return frame(bytes_field(RETRANSMISSION, number_field(1, height)))


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def read_fields(data):
    """The fields of one protobuf message, by number; of those that occur twice the last."""
    fields, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            fields[key >> 3], at = read_varint(data, at)
        elif key & 7 == 2:
            length, at = read_varint(data, at)
            fields[key >> 3], at = data[at : at + length], at + length
        else:
            raise ValueError(f"a field of kind {key & 7}")
    return fields


class Frames:
    """Cuts one stream into its tag and the payloads of its frames."""

    def __init__(self):
        self.tag = None
        self._data = bytearray()

    def feed(self, data):
        self._data += data
        if self.tag is None and self._data:
            self.tag = self._data.pop(0)
        payloads = []
        while len(self._data) >= 4:
            length = int.from_bytes(self._data[:4], "big")
            if len(self._data) < 4 + length:
                break
            payloads.append(bytes(self._data[4 : 4 + length]))
            del self._data[: 4 + length]
        return payloads
