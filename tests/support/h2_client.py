"""A gRPC client without gRPC's own code: HTTP/2 by the `h2` package, so that frames can be sent and seen one by one."""

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

_REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "test"),
    (":path", ""),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """Put gRPC's prefix of five bytes before a message."""
    return struct.pack(">BI", compressed, len(message)) + message


@dataclass
class Stream:
    """What came back on one stream so far."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset_code: int | None = None
    ended: bool = False

    @property
    def status(self) -> str | None:
        """`grpc-status`, wherever it was."""
        return self.headers.get("grpc-status")

    @property
    def message(self) -> bytes:
        """The one message, without its prefix."""
        assert self.body[:5] == struct.pack(">BI", 0, len(self.body) - 5)
        return self.body[5:]


class H2Client:
    """One connection. Everything that arrives is kept; waiting fails after `timeout_s`."""

    def __init__(self, port: int, timeout_s: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        # as gRPC's clients do: what is sent is in the server's socket at once, where it may be asked to lie unread
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # what is sent may be wrong on purpose
        config = H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.http2 = H2Connection(config)
        self.http2.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self.pings_answered = 0
        self.goaway: ConnectionTerminated | None = None
        self.closed = False
        self._unread = b""
        self.send()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self) -> None:
        """Write what the HTTP/2 machine has to say."""
        self.socket.sendall(self.http2.data_to_send())

    def begin(self, path: str, headers: Mapping[str, str] | None = None, *, end: bool = False) -> int:
        """Open a stream with its request headers; gives its id."""
        stream_id = self.http2.get_next_available_stream_id()
        merged = {**dict(_REQUEST), ":path": path, **(headers or {})}
        self.http2.send_headers(stream_id, list(merged.items()), end_stream=end)
        self.streams[stream_id] = Stream()
        self.send()
        return stream_id

    def write(self, stream_id: int, data: bytes, *, end: bool = True) -> None:
        """Send bytes on a stream, as many as the server's windows allow at a time."""
        while data:
            room = min(self.http2.local_flow_control_window(stream_id), self.http2.max_outbound_frame_size)
            if not room:
                self.receive()
                continue
            piece, data = data[:room], data[room:]
            self.http2.send_data(stream_id, piece, end_stream=end and not data)
            self.send()

    def call(self, path: str, message: bytes, headers: Mapping[str, str] | None = None) -> Stream:
        """Make a whole unary call."""
        stream_id = self.begin(path, headers)
        self.write(stream_id, framed(message))
        return self.wait_for_end(stream_id)

    def wait_for_end(self, stream_id: int) -> Stream:
        """Give the stream once it is ended or reset, by either side of the connection."""
        stream = self.streams[stream_id]
        self.wait_until(lambda: stream.ended or stream.reset_code is not None or self.closed)
        return stream

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Read until `condition` holds; TimeoutError if nothing arrives that makes it so."""
        while not condition():
            assert not self.closed, "the connection was closed"
            self.receive()

    def flush(self) -> None:
        """Wait until the server has read everything that was sent."""
        answered = self.pings_answered
        self.http2.ping(b"received")
        self.send()
        self.wait_until(lambda: self.pings_answered > answered)

    def receive(self) -> None:
        """Read once."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self._unread += data
        while (frame := self._next_frame()) is not None:
            for event in self.http2.receive_data(frame):
                self._note(event)
        # a server that has said all and closed needs no answer, and what it said may be longer than what was read
        with suppress(ConnectionError):
            self.send()

    def _next_frame(self) -> bytes | None:
        """Cut one whole frame off what was read: a prefix of nine bytes, the first three its length, and as many."""
        end = 9 + int.from_bytes(self._unread[:3], "big")
        if len(self._unread) < end:
            return None
        frame, self._unread = self._unread[:end], self._unread[end:]
        return frame

    def _note(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self.streams[event.stream_id].headers.update({str(k): str(v) for k, v in event.headers})
        elif isinstance(event, DataReceived):
            self.streams[event.stream_id].body += event.data
            self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.streams[event.stream_id].ended = True
        elif isinstance(event, StreamReset):
            self.streams[event.stream_id].reset_code = int(event.error_code)
        elif isinstance(event, PingAckReceived):
            self.pings_answered += 1
        elif isinstance(event, ConnectionTerminated):
            self.goaway = self.goaway or event
            # h2 takes it for the end; the protocol lets streams that were begun go on
            self.http2.state_machine.state = ConnectionState.CLIENT_OPEN


@contextmanager
def connections(port: int, count: int) -> Iterator[list[H2Client]]:
    """Open several at once, closed on leaving the `with` block."""
    with ExitStack() as stack:
        yield [stack.enter_context(H2Client(port)) for _ in range(count)]
