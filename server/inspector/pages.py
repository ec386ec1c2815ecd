"""The JSON API that the page is made of. Every function answers one address; `app` says which."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from models.interactions import InteractionType
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.inspector import answers, copies, facts
from server.inspector.bundles import Bundles, ServedFiles
from server.inspector.client import Client
from server.inspector.live import Live
from server.inspector.problems import not_found
from server.inspector.question import Question, alone
from server.inspector.shelf import Shelf
from server.inspector.web import json_response, number_parameter, only_parameters, read_json, text_parameter

_COUNTRY_CHARACTERS = 32
_TEXT_CHARACTERS = 200
_MOST_ROWS = 100


@dataclass(frozen=True)
class Pages:
    """What the pages are about."""

    client: Client
    bundles: Bundles
    live: Live

    async def status(self, request: Request) -> Response:
        """GET /api/status: which bundle answers, to notice a reload by."""
        only_parameters(request)
        info = await self.client.info()
        return json_response(
            {
                "address": self.client.address,
                "name": info.bundle_name,
                "version": info.bundle_version,
                "loaded_ms": info.loaded_ms,
            }
        )

    async def overview(self, request: Request) -> Response:
        """GET /api/overview: the server, its bundle and all countries."""
        only_parameters(request)
        info = await self.client.info()
        files = await self.bundles.follow(info)
        return json_response(
            {
                "server": {
                    "address": self.client.address,
                    "loaded_ms": info.loaded_ms,
                    "load_ms": info.load_ms,
                    "limits": {
                        "max_k": info.max_k,
                        "max_history": info.max_history,
                        "max_excluded": info.max_excluded,
                        "max_batch": info.max_batch,
                    },
                },
                "bundle": _bundle(info, files, self.bundles.fault),
                "profiles": [
                    {"name": each.name, "sources": list(each.sources), "fusion": each.fusion} for each in info.profiles
                ],
                "features": [{"name": each.name, "kind": each.kind} for each in info.features],
                "countries": facts.countries(info, files),
            }
        )

    async def country(self, request: Request) -> Response:
        """GET /api/country?country=FR: its indices with their curves, and the sizes of its files."""
        only_parameters(request, "country")
        code = text_parameter(request, "country", _COUNTRY_CHARACTERS)
        files = await self.bundles.files(await self.client.info())
        if code not in files.manifest.countries:
            message = f"the bundle does not have country {code!r}"
            raise not_found(message)
        return json_response(
            {
                "country": code,
                "indices": facts.index_details(files.manifest.countries[code]),
                "bytes": facts.country_bytes(files).get(code, {}),
            }
        )

    async def users(self, request: Request) -> Response:
        """GET /api/users?country=FR&q=12&limit=20: sample users."""
        only_parameters(request, "country", "q", "limit")
        code = text_parameter(request, "country", _COUNTRY_CHARACTERS)
        query = text_parameter(request, "q", _TEXT_CHARACTERS, "")
        limit = number_parameter(request, "limit", 20, _MOST_ROWS)
        samples = (await self.bundles.files(await self.client.info())).samples
        return json_response(
            {
                "users": samples.search(code, query, limit),
                "total": samples.count(code),
                "truncated": samples.truncated,
            }
        )

    async def user(self, request: Request) -> Response:
        """GET /api/user?country=FR&user=12413: a sample user's history, oldest first, as much as the server takes."""
        only_parameters(request, "country", "user")
        code = text_parameter(request, "country", _COUNTRY_CHARACTERS)
        user = text_parameter(request, "user", _TEXT_CHARACTERS)
        info = await self.client.info()
        files = await self.bundles.files(info)
        timeline = files.samples.timeline(code, user)
        if timeline is None:
            message = f"the bundle has no sample user {user!r} in {code!r}"
            raise not_found(message)
        recent = slice(max(0, len(timeline.item_ids) - info.max_history), None)
        ids, types = timeline.item_ids[recent], timeline.types[recent]
        items = await asyncio.to_thread(files.shelf(code).items, ids)
        names = [pb.InteractionType.Name(kind).removeprefix("INTERACTION_TYPE_") for kind in types]
        history = [{"item": item, "type": name} for item, name in zip(items, names, strict=True)]
        return json_response({"user": user, "history": history, "left_out": len(timeline.item_ids) - len(ids)})

    async def items(self, request: Request) -> Response:
        """GET /api/items?country=FR&q=heart&limit=20: items by the words of their titles, by key or by id."""
        only_parameters(request, "country", "q", "limit")
        query = text_parameter(request, "q", _TEXT_CHARACTERS, "")
        limit = number_parameter(request, "limit", 20, _MOST_ROWS)
        shelf = await self._shelf(request)
        return json_response(await asyncio.to_thread(shelf.search, query, limit))

    async def names(self, request: Request) -> Response:
        """GET /api/names?country=FR&facet=merchants&q=a&limit=20: merchants or categories."""
        only_parameters(request, "country", "facet", "q", "limit")
        facet = text_parameter(request, "facet", _COUNTRY_CHARACTERS)
        if facet not in ("merchants", "categories"):
            message = f"facet: expected merchants or categories, found {facet!r}"
            raise not_found(message)
        query = text_parameter(request, "q", _TEXT_CHARACTERS, "")
        limit = number_parameter(request, "limit", 20, _MOST_ROWS)
        shelf = await self._shelf(request)
        return json_response({"names": await asyncio.to_thread(shelf.names, facet, query, limit)})

    async def look(self, request: Request) -> Response:
        """GET /api/live: the last quarter of an hour."""
        only_parameters(request)
        return json_response(self.live.look())

    async def query(self, request: Request) -> Response:
        """POST /api/query: the profile's answer with its reasons, each source's own list, and the calls to copy."""
        only_parameters(request)
        question = await read_json(request, Question)
        info = await self.client.info()
        asked = question.request()
        started = time.monotonic()
        fused = await self.client.retrieve(asked)
        elapsed_us = round((time.monotonic() - started) * 1e6)
        sources = _sources(info, question)
        lists = await self.client.retrieve_batch([alone(asked, source, sources) for source in sources])
        keys: Mapping[str, str] = {}
        files = await self.bundles.follow(info)
        if files and question.country in files.manifest.countries:
            keys = await asyncio.to_thread(_keys, files, question)
            question = _with_true_user(question, files, info.max_history)
        address = self.client.address
        return json_response(
            {
                "answer": answers.answer(fused),
                "elapsed_us": elapsed_us,
                "alone": [answers.own_list(one, source) for one, source in zip(lists, sources, strict=True)],
                "copies": {
                    "query": copies.query_command(question, keys, address, self.bundles.root),
                    "grpcurl": copies.grpcurl_command(question, address),
                    "python": copies.python_call(question, address),
                },
            }
        )

    async def _shelf(self, request: Request) -> Shelf:
        code = text_parameter(request, "country", _COUNTRY_CHARACTERS)
        files = await self.bundles.files(await self.client.info())
        return await asyncio.to_thread(files.shelf, code)


def _sources(info: pb.GetServingInfoResponse, question: Question) -> list[str]:
    """List the sources of the profile, then the others that the bundle has, then popularity, each once."""
    wanted = question.profile or "default"
    of_profile = [name for profile in info.profiles if profile.name == wanted for name in profile.sources]
    of_bundle = [source.source for country in info.countries for source in country.sources]
    return list(dict.fromkeys([*of_profile, *of_bundle, "popular"]))


def _keys(files: ServedFiles, question: Question) -> Mapping[str, str]:
    ids = {int(event.item_id) for event in question.history} | {int(item_id) for item_id in question.excluded}
    return {item.id: item.key for item in files.shelf(question.country).items(sorted(ids))}


def _with_true_user(question: Question, files: ServedFiles, max_history: int) -> Question:
    """Forget the sample user unless the history is still theirs."""
    timeline = files.samples.timeline(question.country, question.user) if question.user else None
    if timeline is not None:
        first = max(0, len(timeline.item_ids) - max_history)
        theirs = [(str(item_id), int(kind)) for item_id, kind in zip(timeline.item_ids, timeline.types, strict=True)]
        asked = [(event.item_id, InteractionType[event.type].value) for event in question.history]
        if asked == theirs[first:]:
            return question
    return msgspec.structs.replace(question, user="")


def _bundle(info: pb.GetServingInfoResponse, files: ServedFiles | None, fault: str) -> dict[str, object]:
    manifest = files.manifest if files else None
    training = manifest.training if manifest else None
    return {
        "name": info.bundle_name,
        "version": info.bundle_version,
        "format_version": info.format_version,
        "created_ms": info.created_ms,
        "files": len(manifest.files) if manifest else 0,
        "bytes": facts.total_bytes(files) if files else -1,
        "fault": fault if files is None else "",
        "encoders": sorted(manifest.encoders) if manifest else [],
        "metrics": training.metrics if training else {},
        "seed": training.seed if training else None,
        "data_fingerprint": training.data_fingerprint if training else "",
    }
