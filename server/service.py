"""The RPCs of `retrieval.v1.Retrieval`, each in three steps: decode, call, encode.

`server.edge` runs the steps, times them, counts them and translates what they raise.
"""

from typing import Protocol, TypeVar

from index_store.bundle import Bundle
from server.convert import Limits, decode_info_request, decode_query, encode_answer, encode_info
from server.retrieval import Answer, Query, Retriever

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
        """See `server.convert.decode_query`."""
        return decode_query(raw, self._limits)

    def call(self, request: Query) -> Answer:
        """See `server.retrieval.Retriever.answer`."""
        return self._retriever.answer(request)

    def encode(self, request: Query, answer: Answer) -> bytes:
        """See `server.convert.encode_answer`."""
        return encode_answer(answer, self._bundle_version, include_details=request.include_details)


class GetServingInfo:
    """`GetServingInfo`: what is being served; the same bytes for the life of the process."""

    def __init__(self, bundle: Bundle, loaded_ms: int, limits: Limits) -> None:
        self._limits = limits
        self._info = encode_info(bundle, loaded_ms, limits)

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
