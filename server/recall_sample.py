"""A request that was answered, on its way to the judge: what was asked, and what each source gave.

worker: `RecallSampler` ── datagram, never waits ── judge: `decode_sample`
"""

import random
import socket
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.answer import Answer, Degradation
from server.observe import Observed, Origin
from server.query import History, ItemRefs, Query
from server.worker_metrics import WorkerMetrics

MOST_BYTES = 128 * 1024
"""A larger sample is left out: the system's buffer for datagrams holds about 200 kB."""
# sources that search an index, whatever engine it is of; without a history LED does not
_SEARCHING = frozenset({"led", "two_tower", "item_interaction"})
_FAIR = (Degradation.NONE, Degradation.EXHAUSTED)


class SourceList(msgspec.Struct, frozen=True):
    """What one source gave: rows (n,) int64 of the country's catalogue and scores (n,) float32, best first."""

    source: str
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Sample(msgspec.Struct, frozen=True):
    """A query and the lists of its sources that search an index."""

    query: Query
    lists: tuple[SourceList, ...]


class RecallSampler:
    """Sends some answered requests to the judge; one that finds it busy is dropped and counted.

    After a sample, the next is the first request after a random time, exponentially distributed: moments are chosen
    evenly, whatever is asked in them.
    """

    def __init__(self, channel: socket.socket, per_s: float, metrics: WorkerMetrics) -> None:
        self._channel = channel
        self._mean_gap_ns = 1e9 / per_s
        self._metrics = metrics
        self._due_ns = 0
        self._random = random.Random()  # noqa: S311 - sampling is not cryptography
        channel.settimeout(0)

    def wants(self, _origin: Origin, _elapsed_ns: int, ended_ns: int) -> bool:
        """Whether it is time for another."""
        return ended_ns >= self._due_ns

    def look(self, call: Observed[Any, Any]) -> None:
        """Send the call's request, of a batch any one."""
        picked = self._pick(call.request, call.answer)
        if picked is None:
            return
        self._due_ns = call.ended_ns + round(self._random.expovariate(1.0) * self._mean_gap_ns)
        sample = sample_of(*picked)
        if not sample.lists:
            return
        raw = encode_sample(sample)
        if len(raw) > MOST_BYTES:
            self._metrics.recall_dropped("too_large")
            return
        try:
            self._channel.send(raw)
        except OSError:  # it is behind, or starting again
            self._metrics.recall_dropped("full")

    def close(self) -> None:
        """The judge ends with the generation."""

    def _pick(self, request: object, answer: object) -> tuple[Query, Answer] | None:
        if isinstance(answer, Answer) and isinstance(request, Query):
            return request, answer
        if isinstance(answer, Sequence) and isinstance(request, Sequence) and answer:
            number = self._random.randrange(len(answer))
            return self._pick(request[number], answer[number])
        return None


def sample_of(query: Query, answer: Answer) -> Sample:
    """Keep of an answer what is compared with exact search."""
    lists = zip(answer.reports, answer.lists, strict=True)
    return Sample(
        query,
        tuple(
            SourceList(report.source, rows, scores)
            for report, (rows, scores) in lists
            if report.source in _SEARCHING and report.plan and report.degradation in _FAIR
        ),
    )


def encode_sample(sample: Sample) -> bytes:
    """Write a sample for a process of the same version."""
    return _ENCODER.encode(sample)


def decode_sample(raw: bytes) -> Sample:
    """Read what `encode_sample` wrote."""
    return _DECODER.decode(raw)


class _History(msgspec.Struct, array_like=True):
    """A `History` as it is sent: whatever kind it was, its arrays are read now."""

    items: ItemRefs
    types: NDArray[np.int64]
    times_ms: NDArray[np.int64]


def _simpler(value: object) -> object:
    """Turn what msgspec does not know into what it does."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, History):
        return _History(value.items, value.types, value.times_ms)
    raise NotImplementedError(type(value))


def _restored(kind: Any, value: Any) -> object:  # noqa: ANN401 - the annotation of a field, and what was sent for it
    """Undo `_simpler`; `kind` is History or NDArray[some scalar type]."""
    if kind is History:
        sent = msgspec.convert(value, _History, dec_hook=_restored)
        return History(sent.items, sent.types, sent.times_ms)
    scalar = get_args(get_args(kind)[1])[0]
    return np.frombuffer(value, dtype=scalar)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_simpler)
_DECODER = msgspec.msgpack.Decoder(Sample, dec_hook=_restored)
