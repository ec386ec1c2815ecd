"""`shortlist query`: one question to a running server, its answer as tables that a person can read."""

import sys
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from server import exit_codes
from server.commands.question import QueryError, Question, check, history_of, request_of, similar_request_of
from server.commands.sample_users import history_of_user
from server.commands.show import show_answer, show_comparison, show_similar

__all__ = ["QueryError", "Question", "query"]

_UNREACHABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def query(question: Question, *, as_json: bool) -> None:
    """Ask and print; `QueryError` for everything that a person can do something about."""
    check(question)
    with grpc.insecure_channel(question.address) as channel:
        stub = RetrievalStub(channel)  # type: ignore[no-untyped-call] # generated
        try:
            if question.similar is not None:
                _similar(question, question.similar, stub, as_json=as_json)
            elif question.compare:
                _compare(question, stub, as_json=as_json)
            else:
                _retrieve(question, stub, as_json=as_json)
        except grpc.RpcError as error:
            raise _explain(error, question.address) from error


def _retrieve(question: Question, stub: RetrievalStub, *, as_json: bool) -> None:
    request = _request(question, stub)
    response = stub.Retrieve(request, timeout=question.timeout_s)
    if not _printed_as_json(response, as_json=as_json):
        show_answer(question, request, response)


def _similar(question: Question, item: str, stub: RetrievalStub, *, as_json: bool) -> None:
    response = stub.SimilarItems(similar_request_of(question, item), timeout=question.timeout_s)
    if not _printed_as_json(response, as_json=as_json):
        show_similar(question, item, response)


def _compare(question: Question, stub: RetrievalStub, *, as_json: bool) -> None:
    """Ask for the profile's answer and for each source alone, in one batch."""
    info = _info(question, stub)
    request = _request(question, stub, info)
    names = _sources(info, question)
    batch = [request]
    for name in names:
        alone = pb.RetrieveRequest()
        alone.CopyFrom(request)
        alone.source_quotas.update({other: question.k if other == name else 0 for other in names})
        batch.append(alone)
    response = stub.RetrieveBatch(pb.RetrieveBatchRequest(requests=batch), timeout=question.timeout_s)
    if not _printed_as_json(response, as_json=as_json):
        show_comparison(question, request, response.responses[0], dict(zip(names, response.responses[1:], strict=True)))


def _request(
    question: Question, stub: RetrievalStub, info: pb.GetServingInfoResponse | None = None
) -> pb.RetrieveRequest:
    history: Sequence[pb.Interaction] = history_of(question)
    kinds: Mapping[str, str] = {}
    if question.user is not None or question.features:
        info = info or _info(question, stub)
        kinds = {feature.name: feature.kind for feature in info.features}
    if question.user is not None and info is not None:
        history = history_of_user(question.user, question.country, question.bundle_root, info)
    return request_of(question, history, kinds)


def _info(question: Question, stub: RetrievalStub) -> pb.GetServingInfoResponse:
    info: pb.GetServingInfoResponse = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=question.timeout_s)
    return info


def _sources(info: pb.GetServingInfoResponse, question: Question) -> list[str]:
    """List the sources of the profile, then the others that the bundle has, then popularity, each once."""
    wanted = question.profile or "default"
    of_profile = [name for profile in info.profiles if profile.name == wanted for name in profile.sources]
    of_bundle = [source.source for country in info.countries for source in country.sources]
    return list(dict.fromkeys([*of_profile, *of_bundle, "popular"]))


def _printed_as_json(response: Message, *, as_json: bool) -> bool:
    if as_json:
        sys.stdout.write(json_format.MessageToJson(response, preserving_proto_field_name=True) + "\n")
    return as_json


def _explain(error: grpc.RpcError, address: str) -> QueryError:
    code, details = error.code(), error.details()
    if code in _UNREACHABLE:
        message = f"no answer from {address}: {code.name}: {details}; is `shortlist serve` running there?"
        return QueryError(message, exit_codes.NO_SERVER)
    return QueryError(f"{code.name}: {details}", exit_codes.CALL_REFUSED)
