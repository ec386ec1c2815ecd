"""OpenTelemetry spans of calls that are sampled: one for the call, one below it for each step and source.

    traceparent of the caller's metadata → sampled? → answered → spans made of what was measured → OTLP over HTTP

Spans are made when the reply is on its way, from times that are measured in any case. So a call that is not sampled
costs a look at its metadata, and a server without `tracing.endpoint` does not even import OpenTelemetry. Needs the
extra `tracing`; imported by the worker, after the fork, since exporting takes a thread.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.answer import Answer, SimilarAnswer, SourceReport
from server.metrics import CODE_INDEX, METHODS, SERVICE
from server.observe import Observed, Origin
from server.query import Query, SimilarQuery
from server.request_id import REQUEST_ID_KEY, value_of

_PARENT, _STATE = "traceparent", "tracestate"
_SAMPLED = 1
_FLUSH_MS = 2000
# codes that the conventions for gRPC servers call errors
_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
Step = tuple[str, int, Mapping[str, Any]]
"""Name, nanoseconds, attributes."""


class Tracer:
    """Makes spans and sends them to `endpoint` from a thread of its own.

    A call whose caller sent a W3C `traceparent` is sampled as that says; of others a share of `ratio` is.
    """

    def __init__(self, endpoint: str, ratio: float, *, instance: str, version: str) -> None:
        resource = Resource.create(
            {
                "service.name": "shortlist",
                "service.instance.id": instance,
                "shortlist.bundle.version": version,
            }
        )
        # whether to sample is decided here, by `wants`
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("shortlist")
        self._contexts = TraceContextTextMapPropagator()
        self._ratio = ratio
        self._random = random.Random()  # noqa: S311 - sampling is not cryptography

    def wants(self, origin: Origin, _elapsed_ns: int, _ended_ns: int) -> bool:
        """Whether it is sampled."""
        parent = value_of(origin.invocation_metadata(), _PARENT)
        if parent:
            return _sampled(parent)
        return self._ratio > 0 and self._random.random() < self._ratio

    def look(self, call: Observed[Any, Any]) -> None:
        """Make its spans."""
        metadata = call.origin.invocation_metadata()
        carrier = {key: value_of(metadata, key) for key in (_PARENT, _STATE)}
        # the clock of the spans is the calendar's
        began = call.started_ns + time.time_ns() - time.perf_counter_ns()
        span = self._tracer.start_span(
            f"{SERVICE}/{METHODS[call.method]}",
            self._contexts.extract({key: value for key, value in carrier.items() if value}),
            SpanKind.SERVER,
            _call_attributes(call, value_of(metadata, REQUEST_ID_KEY)),
            start_time=began,
        )
        if call.code in _ERRORS:
            span.set_status(Status(StatusCode.ERROR))
        self._add_steps(span, began, call)
        span.end(began + call.elapsed_ns)

    def _add_steps(self, span: Span, began: int, call: Observed[Any, Any]) -> None:
        """One after another, as they were taken; what is between them is not measured."""
        context = set_span_in_context(span)
        for name, duration, attributes in _steps(call):
            step = self._tracer.start_span(name, context, attributes=attributes, start_time=began)
            began += duration
            step.end(began)

    def close(self) -> None:
        """Send what is there; gives up after two seconds."""
        self._provider.force_flush(_FLUSH_MS)


def _sampled(parent: str) -> bool:
    """Read the flags of `00-<trace id>-<span id>-<flags>`; whatever else is wrong with it, the propagator sees."""
    flags = parent.rpartition("-")[2]
    try:
        return bool(int(flags, 16) & _SAMPLED)
    except ValueError:
        return False


def _call_attributes(call: Observed[Any, Any], request_id: str) -> Mapping[str, Any]:
    attributes: dict[str, Any] = {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": METHODS[call.method],
        "rpc.grpc.status_code": CODE_INDEX[call.code],
    }
    if request_id:
        attributes["shortlist.request_id"] = request_id
    if isinstance(call.request, Query) and isinstance(call.answer, Answer):
        attributes |= _answer_attributes(call.request, call.answer)
    elif isinstance(call.request, SimilarQuery) and isinstance(call.answer, SimilarAnswer):
        attributes |= {"shortlist.country": call.answer.country.code, "shortlist.k": call.request.k}
    elif isinstance(call.request, Sequence):
        attributes["shortlist.requests"] = len(call.request)
    return attributes


def _answer_attributes(query: Query, answer: Answer) -> Mapping[str, Any]:
    return {
        "shortlist.country": answer.country.code,
        "shortlist.profile": answer.profile,
        "shortlist.k": query.k,
        "shortlist.history": query.history.length,
        "shortlist.candidates": len(answer.rows),
        "shortlist.fallback": answer.fallback.name.lower(),
    }


def _steps(call: Observed[Any, Any]) -> Iterator[Step]:
    if call.decode_ns:
        yield "decode", call.decode_ns, {}
    answers = call.answer if isinstance(call.answer, Sequence) else [call.answer]
    for answer in answers:
        if isinstance(answer, Answer):
            yield from (_source(report) for report in answer.reports)
            yield "fuse", answer.fuse_us * 1000, {}
        elif isinstance(answer, SimilarAnswer):
            yield _source(answer.report)
    if call.reply_ns:
        yield "reply", call.reply_ns, {}


def _source(report: SourceReport) -> Step:
    attributes = {
        "shortlist.source.method": report.method,
        "shortlist.source.plan": report.plan,
        "shortlist.source.fetched": report.fetched,
        "shortlist.source.found": report.found,
        "shortlist.source.encode_us": report.encode_us,
        "shortlist.source.search_us": report.search_us,
        "shortlist.source.degradation": report.degradation.name.lower(),
    }
    return f"source {report.source}", (report.encode_us + report.search_us) * 1000, attributes
