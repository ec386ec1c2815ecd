"""What is recorded of each answer, after the reply is made: `server.edge` calls these, `server.metrics` keeps it."""

from collections.abc import Sequence

from server.answer import Answer, Fallback, SimilarAnswer, SourceReport
from server.metrics import STAGES, WorkerMetrics
from server.query import Query, SimilarQuery

_DECODE, _FUSE, _REPLY = (STAGES.index(stage) for stage in ("decode", "fuse", "reply"))
_NS_PER_US = 1000


def observe_answer(metrics: WorkerMetrics, query: Query, answer: Answer, decode_ns: int, reply_ns: int) -> None:
    """Record a `Retrieve`: stages, sources, and what the answer was about."""
    metrics.stage(_DECODE, decode_ns)
    _observe(metrics, query, answer)
    metrics.stage(_REPLY, reply_ns)


def observe_batch(
    metrics: WorkerMetrics, queries: Sequence[Query], answers: Sequence[Answer], decode_ns: int, reply_ns: int
) -> None:
    """Record a `RetrieveBatch`: as many answers, but decode and reply of the whole."""
    metrics.batch(len(queries))
    metrics.stage(_DECODE, decode_ns)
    for query, answer in zip(queries, answers, strict=True):
        _observe(metrics, query, answer)
    metrics.stage(_REPLY, reply_ns)


def observe_similar(
    metrics: WorkerMetrics, query: SimilarQuery, answer: SimilarAnswer, decode_ns: int, reply_ns: int
) -> None:
    """Record a `SimilarItems`; its neighbourhood counts as the source that it is of."""
    metrics.stage(_DECODE, decode_ns)
    _observe_source(metrics, answer.report)
    fallback = Fallback.NONE if answer.country.code == query.country else Fallback.COUNTRY
    metrics.answered(int(fallback), 0, 0, len(answer.rows), 0)
    metrics.stage(_REPLY, reply_ns)


def _observe(metrics: WorkerMetrics, query: Query, answer: Answer) -> None:
    for report in answer.reports:
        _observe_source(metrics, report)
    metrics.stage(_FUSE, answer.fuse_us * _NS_PER_US)
    metrics.answered(
        int(answer.fallback), answer.unknown_items, query.history.length, len(answer.rows), answer.backfilled
    )


def _observe_source(metrics: WorkerMetrics, report: SourceReport) -> None:
    encode_ns, search_ns = report.encode_us * _NS_PER_US, report.search_us * _NS_PER_US
    metrics.source(report.source, report.plan, int(report.degradation), encode_ns, search_ns)
