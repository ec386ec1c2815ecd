"""The RPCs of `retrieval.v1.Retrieval`, each in three steps: decode, call, encode.

`server.desk` runs the steps, times them, counts them and translates what they raise.
"""

import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

from server.answer import Answer, SimilarAnswer
from server.decode import decode_batch, decode_info_request, decode_query, decode_similar
from server.encode import encode_answer, encode_batch, encode_similar
from server.limits import Limits
from server.query import Query, SimilarQuery
from server.retrieval import Retriever

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class Rpc(Protocol[RequestT, AnswerT]):
    """One method of the service. Steps raise domain errors only."""

    def decode(self, raw: bytes) -> RequestT:
        """Parse and validate the request's bytes."""

    def call(self, request: RequestT) -> AnswerT:
        """Do the work."""

    def encode(self, request: RequestT, answer: AnswerT) -> bytes:
        """Serialise the reply."""


class Retrieve:
    """`Retrieve`: candidates for one user."""

    def __init__(self, retriever: Retriever, bundle_version: str, limits: Limits) -> None:
        self._retriever = retriever
        self._bundle_version = bundle_version
        self._limits = limits

    def decode(self, raw: bytes) -> Query:
        """See `server.decode.decode_query`."""
        return decode_query(raw, self._limits, _now_ms())

    def call(self, request: Query) -> Answer:
        """See `server.retrieval.Retriever.answer`."""
        return self._retriever.answer(request)

    def encode(self, request: Query, answer: Answer) -> bytes:
        """See `server.encode.encode_answer`."""
        return encode_answer(answer, self._bundle_version, include_details=request.include_details)


class RetrieveBatch:
    """`RetrieveBatch`: candidates for several users."""

    def __init__(self, retriever: Retriever, bundle_version: str, limits: Limits) -> None:
        self._retriever = retriever
        self._bundle_version = bundle_version
        self._limits = limits

    def decode(self, raw: bytes) -> Sequence[Query]:
        """See `server.decode.decode_batch`."""
        return decode_batch(raw, self._limits, _now_ms())

    def call(self, request: Sequence[Query]) -> Sequence[Answer]:
        """See `server.retrieval.Retriever.answer_batch`."""
        return self._retriever.answer_batch(request)

    def encode(self, request: Sequence[Query], answer: Sequence[Answer]) -> bytes:
        """See `server.encode.encode_batch`."""
        return encode_batch(
            [
                encode_answer(each, self._bundle_version, include_details=query.include_details)
                for query, each in zip(request, answer, strict=True)
            ]
        )


class SimilarItems:
    """`SimilarItems`: items like one item."""

    def __init__(self, retriever: Retriever, bundle_version: str, limits: Limits) -> None:
        self._retriever = retriever
        self._bundle_version = bundle_version
        self._limits = limits

    def decode(self, raw: bytes) -> SimilarQuery:
        """See `server.decode.decode_similar`."""
        return decode_similar(raw, self._limits)

    def call(self, request: SimilarQuery) -> SimilarAnswer:
        """See `server.retrieval.Retriever.similar`."""
        return self._retriever.similar(request)

    def encode(self, request: SimilarQuery, answer: SimilarAnswer) -> bytes:
        """See `server.encode.encode_similar`."""
        return encode_similar(answer, self._bundle_version, include_details=request.include_details)


class GetServingInfo:
    """`GetServingInfo`: what is being served; `info` is the same bytes for the life of the process."""

    def __init__(self, info: bytes, limits: Limits) -> None:
        self._limits = limits
        self._info = info

    def decode(self, raw: bytes) -> None:
        """Accept an empty request."""
        decode_info_request(raw, self._limits)

    def call(self, request: None) -> bytes:
        """Give what was serialised at the start."""
        del request
        return self._info

    def encode(self, request: None, answer: bytes) -> bytes:
        """Pass the bytes on."""
        del request
        return answer


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
