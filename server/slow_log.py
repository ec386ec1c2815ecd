"""Calls that took too long, one line each with all their stages: at most ten at once, and one a second after that."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from server.answer import Answer, SimilarAnswer, SourceReport
from server.log import fields
from server.metrics import METHODS
from server.observe import Observed, Origin
from server.query import Query, SimilarQuery
from server.request_id import request_id_of
from server.worker_metrics import WorkerMetrics

_BURST = 10
_PER_NS = 1e-9  # one a second
_MOST_QUERIES = 3  # of a batch that are shown
_LOG = logging.getLogger(__name__)


class SlowLog:
    """Logs calls over `slow_ms`, and counts them all; the next line that is written says how many were left out."""

    def __init__(self, slow_ms: float, metrics: WorkerMetrics) -> None:
        self._slow_ns = slow_ms * 1e6
        self._metrics = metrics
        self._tokens = float(_BURST)
        self._filled_ns = 0
        self._left_out = 0

    def wants(self, _origin: Origin, elapsed_ns: int, _ended_ns: int) -> bool:
        """Whether it took too long."""
        return elapsed_ns >= self._slow_ns

    def look(self, call: Observed[Any, Any]) -> None:
        """Log it, or count it as left out."""
        self._metrics.slow()
        self._tokens = min(_BURST, self._tokens + (call.ended_ns - self._filled_ns) * _PER_NS)
        self._filled_ns = call.ended_ns
        if self._tokens < 1:
            self._left_out += 1
            return
        self._tokens -= 1
        left_out, self._left_out = self._left_out, 0
        more = {"left_out_before": left_out} if left_out else {}
        _LOG.warning("slow call", extra=fields(**described(call), **more))

    def close(self) -> None:
        """Nothing is open."""


def described(call: Observed[Any, Any]) -> Mapping[str, Any]:
    """Say of a call who asked what, and where its time went; milliseconds, and microseconds for sources."""
    return {
        "request_id": request_id_of(call.origin.invocation_metadata()),
        "method": METHODS[call.method],
        "code": call.code,
        "elapsed_ms": _ms(call.elapsed_ns),
        "decode_ms": _ms(call.decode_ns),
        "reply_ms": _ms(call.reply_ns),
        **dict(_asked(call.request, call.answer)),
    }


def _asked(request: object, answer: object) -> Iterator[tuple[str, Any]]:
    if isinstance(request, Query) and isinstance(answer, Answer):
        yield from _query(request, answer).items()
    elif isinstance(request, SimilarQuery) and isinstance(answer, SimilarAnswer):
        yield from {"country": answer.country.code, "k": request.k, "sources": [_source(answer.report)]}.items()
    elif isinstance(request, Sequence) and isinstance(answer, Sequence):
        yield "requests", len(request)
        pairs = list(zip(request, answer, strict=True))
        slowest = sorted(pairs, key=lambda pair: _spent_us(pair[1]), reverse=True)[:_MOST_QUERIES]
        yield "slowest", [_query(*pair) for pair in slowest]


def _query(query: Query, answer: Answer) -> Mapping[str, Any]:
    filters = query.filters
    return {
        "country": answer.country.code,
        "profile": answer.profile,
        "k": query.k,
        "history": query.history.length,
        "merchants": len(filters.merchants),
        "categories": len(filters.categories),
        "price": filters.price is not None,
        "excluded": filters.excluded.length,
        "explain": query.explain,
        "fallback": answer.fallback.name.lower(),
        "candidates": len(answer.rows),
        "fuse_us": answer.fuse_us,
        "sources": [_source(report) for report in answer.reports],
    }


def _source(report: SourceReport) -> Mapping[str, Any]:
    return {
        "source": report.source,
        "method": report.method,
        "plan": report.plan,
        "encode_us": report.encode_us,
        "search_us": report.search_us,
        "fetched": report.fetched,
        "found": report.found,
        "degradation": report.degradation.name.lower(),
    }


def _spent_us(answer: Answer) -> int:
    return answer.fuse_us + sum(report.encode_us + report.search_us for report in answer.reports)


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)
