"""One HTTP/2 connection for unary gRPC calls, made to cost the client little: the server shares its cores.

The protocol is the real one (RFC 9113, gRPC over HTTP/2); what makes it cheap is that all calls look alike. Their
header block is encoded once, so that a call is two byte strings and a stream number, and a block of response headers
that was seen before, with the same dynamic table, is not decoded again.
"""

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence

import grpc
from hpack import Decoder, Encoder

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_HEADER_TABLE_SIZE, _MAX_CONCURRENT, _INITIAL_WINDOW, _ENABLE_PUSH = 1, 3, 4, 2
_HEAD = struct.Struct(">IBI")
_HEAD_SIZE = 9
_LARGEST_FRAME = 16_384
_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
# what the peer may send before we grant it more; one update per half a gigabyte
_GRANT_AT = 2**29
_RECEIVE = 1 << 18
_CLOSED = "it closed the connection"

_STATUS_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
# gRPC over HTTP/2, "HTTP2 Transport Mapping"
_RESET_NAMES = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}

Done = tuple[int, str, bytes]
"""A call that ended: stream, name of the gRPC status, and the reply if replies are kept."""


class ServerGoneError(ConnectionError):
    """The server ended the connection, or refuses a new one."""


class Connection:
    """A socket of its own with any number of calls in flight.

    `send` takes a place in the queue, `flush` writes; `receive` reads once and gives the calls that ended. Calls wait
    here while the peer's flow control or its limit of concurrent streams says so.
    """

    def __init__(self, address: str, method: str, *, deadline_s: float, keep_replies: bool = False) -> None:
        self._address = address
        host, _, port = address.rpartition(":")
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=deadline_s)
        except OSError as error:
            message = f"cannot connect to {address}: {error}"
            raise ServerGoneError(message) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = _request_headers(address, method, deadline_s)
        self._encoder, self._last_block, self._block = Encoder(), b"", b""
        self._decoder = Decoder()
        self._known: dict[bytes, Mapping[str, str]] = {}
        self._keep = keep_replies
        self._bodies: dict[int, bytes] = {}
        self._open: dict[int, str] = {}
        self._waiting: deque[tuple[int, Sequence[bytes], int]] = deque()
        self._next_stream, self._last_stream = 1, 2**31 - 1
        self._window, self._stream_window, self._most = _DEFAULT_WINDOW, _DEFAULT_WINDOW, 100
        self._taken, self._partial, self._fragment = 0, b"", b""
        settings = struct.pack(">HIHI", _ENABLE_PUSH, 0, _INITIAL_WINDOW, _LARGEST_WINDOW)
        grant = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self._out = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _frame(_SETTINGS, 0, 0, settings)]
        self._out.append(_frame(_WINDOW_UPDATE, 0, 0, grant))
        self._settled = False
        try:
            self._await_settings(deadline_s)
        except ServerGoneError:
            self.close()
            raise
        self._socket.settimeout(0)

    def _await_settings(self, within_s: float) -> None:
        """Wait until the server has said its limits: it is then known to speak HTTP/2."""
        self._socket.settimeout(within_s)
        self.flush()
        while not self._settled:
            self.receive()

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._socket.fileno()

    @property
    def ending(self) -> bool:
        """Whether the server wants no more calls here (GOAWAY)."""
        return self._last_stream != 2**31 - 1

    @property
    def unsent(self) -> bool:
        """Whether there are bytes that the socket did not take yet."""
        return bool(self._out)

    @property
    def in_flight(self) -> int:
        """Calls begun and not ended, waiting ones included."""
        return len(self._open) + len(self._waiting)

    def send(self, body: Sequence[bytes], size: int) -> int:
        """Begin a call with an encoded body (see `encoded`); gives its stream."""
        stream = self._next_stream
        self._next_stream += 2
        if self._waiting or not self._may_send(size):
            self._waiting.append((stream, body, size))
        else:
            self._begin(stream, body, size)
        return stream

    def _may_send(self, size: int) -> bool:
        return size <= self._window and size <= self._stream_window and len(self._open) < self._most

    def _begin(self, stream: int, body: Sequence[bytes], size: int) -> None:
        block = self._block or self._encode_headers()
        self._window -= size
        self._open[stream] = ""
        number = struct.pack(">I", stream)
        self._out += (len(block).to_bytes(3, "big"), b"\x01\x04", number, block)
        for part in body[:-1]:
            self._out += (len(part).to_bytes(3, "big"), b"\x00\x00", number, part)
        self._out += (len(body[-1]).to_bytes(3, "big"), b"\x00\x01", number, body[-1])

    def _encode_headers(self) -> bytes:
        """Once a block repeats itself, all its fields are in the peer's table, and every later one is the same."""
        block = self._encoder.encode(self._headers, huffman=False)
        if block == self._last_block:
            self._block = block
        self._last_block = block
        return block

    def flush(self) -> None:
        """Write as much as the socket takes."""
        data = b"".join(self._out)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._gone(error) from error
        self._out = [data[sent:]] if sent < len(data) else []

    def receive(self) -> list[Done]:
        """Read once; ServerGoneError if the connection ended."""
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(_CLOSED)
        done: list[Done] = []
        if self._partial:
            data = self._partial + data
        place, end = 0, len(data)
        while end - place >= _HEAD_SIZE:
            size_kind, flags, stream = _HEAD.unpack_from(data, place)
            after = place + _HEAD_SIZE + (size_kind >> 8)
            if after > end:
                break
            self._frame(size_kind & 0xFF, flags, stream, data, place + _HEAD_SIZE, after, done)
            place = after
        self._partial = data[place:]
        if done or self._waiting:
            self._begin_waiting()
        return done

    def _gone(self, why: object) -> ServerGoneError:
        return ServerGoneError(f"{self._address} is gone: {why}")

    def _begin_waiting(self) -> None:
        while self._waiting and self._may_send(self._waiting[0][2]):
            self._begin(*self._waiting.popleft())

    def _frame(self, kind: int, flags: int, stream: int, data: bytes, start: int, end: int, done: list[Done]) -> None:
        if kind == _DATA:
            self._data(flags, stream, data, start, end, done)
        elif kind in (_HEADERS, _CONTINUATION):
            self._block_received(kind, flags, stream, data[start:end], done)
        elif kind == _RST_STREAM:
            self._finish(stream, _RESET_NAMES.get(int.from_bytes(data[start:end], "big"), "INTERNAL"), done)
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(data[start:end])
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, data[start:end]))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(data[start:end], "big")
        elif kind == _GOAWAY:
            self._goaway(int.from_bytes(data[start : start + 4], "big"), done)

    def _data(self, flags: int, stream: int, data: bytes, start: int, end: int, done: list[Done]) -> None:
        self._taken += end - start
        if self._taken >= _GRANT_AT:
            self._out.append(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken)))
            self._taken = 0
        if self._keep:
            part = data[start + 1 : end - data[start]] if flags & _PADDED else data[start:end]
            self._bodies[stream] = self._bodies.get(stream, b"") + part
        if flags & _END_STREAM:  # no trailers: not a whole gRPC reply
            self._finish(stream, self._open.get(stream) or "INTERNAL", done)

    def _block_received(self, kind: int, flags: int, stream: int, block: bytes, done: list[Done]) -> None:
        if kind == _HEADERS:
            if flags & _PADDED:
                block = block[1 : len(block) - block[0]]
            block = block[5:] if flags & _PRIORITY else block
            self._ends = bool(flags & _END_STREAM)
        if not flags & _END_HEADERS:
            self._fragment += block
            return
        if self._fragment:
            block, self._fragment = self._fragment + block, b""
        headers = self._known.get(block) or self._decode(block)
        status = headers.get("grpc-status")
        if status is not None:
            self._open[stream] = _STATUS_NAMES.get(int(status), "UNKNOWN")
        elif headers.get(":status", "200") != "200":
            self._open[stream] = "UNKNOWN"
        if self._ends:
            self._finish(stream, self._open.get(stream) or "UNKNOWN", done)

    def _decode(self, block: bytes) -> Mapping[str, str]:
        table = self._decoder.header_table.dynamic_entries
        before = list(table)
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        if before == list(table):
            self._known[block] = headers
        else:  # the same bytes may mean something else from now on
            self._known.clear()
        return headers

    def _finish(self, stream: int, status: str, done: list[Done]) -> None:
        if self._open.pop(stream, None) is not None:
            done.append((stream, status, self._bodies.pop(stream, b"")[5:]))

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _HEADER_TABLE_SIZE:
                self._encoder.header_table_size = min(value, 4096)
                self._block = b""
            elif name == _MAX_CONCURRENT:
                self._most = value
            elif name == _INITIAL_WINDOW:
                self._stream_window = value
        self._settled = True
        self._out.append(_frame(_SETTINGS, _ACK, 0, b""))

    def _goaway(self, last: int, done: list[Done]) -> None:
        self._last_stream = last
        for stream in [stream for stream in self._open if stream > last]:
            self._finish(stream, "UNAVAILABLE", done)
        while self._waiting:
            done.append((self._waiting.popleft()[0], "UNAVAILABLE", b""))

    def close(self) -> None:
        """End the connection at once."""
        with contextlib.suppress(OSError):
            self._socket.close()


def encoded(message: bytes) -> tuple[Sequence[bytes], int]:
    """Frame a message for `Connection.send`: gRPC's prefix, cut at HTTP/2's frame size, and its length in bytes.

    ValueError over 65,535 bytes: a longer one would have to wait for the peer half-way.
    """
    framed = struct.pack(">BI", 0, len(message)) + message
    if len(framed) > _DEFAULT_WINDOW:
        text = f"a request of {len(framed)} bytes; this client sends {_DEFAULT_WINDOW} at most"
        raise ValueError(text)
    return [framed[start : start + _LARGEST_FRAME] for start in range(0, len(framed), _LARGEST_FRAME)], len(framed)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def _request_headers(address: str, method: str, deadline_s: float) -> Sequence[tuple[str, str]]:
    return (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", address),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "shortlist-loadtest"),
        ("grpc-timeout", f"{int(deadline_s * 1000)}m"),
    )
