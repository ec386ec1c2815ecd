"""What is loaded, as the page shows it: from GetServingInfo and, where the files are at hand, the manifest.

The manifest is read by its shape: whatever has an `engine` is an index, whatever stands in a curve beside `recall` and
`search_us` is a setting. A format that adds an engine or a source needs no change here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.inspector.bundles import ServedFiles

_TYPE = "INTERACTION_TYPE_"
_MEASURES = ("recall", "search_us")
_IDENTITY = ("engine", "space")


class Index(msgspec.Struct, frozen=True):
    """One index of a country, as `retrieval.v1.SourceInfo`; `type` without its prefix, "" of no type."""

    source: str
    type: str
    engine: str
    space: str
    dim: int
    ef: int
    recall: float
    recall_k: int
    recall_target: float
    neighbours: int
    triggers: int


class CountryFacts(msgspec.Struct, frozen=True):
    """One row of the table of countries. bytes: of its files, -1 where they are out of reach."""

    code: str
    items: int
    merchants: int
    categories: int
    prices: bool
    samples: int
    bytes: int
    indices: list[Index]


def countries(info: pb.GetServingInfoResponse, files: ServedFiles | None) -> list[CountryFacts]:
    """All countries, sorted by code."""
    sizes = country_bytes(files) if files else {}
    return [
        CountryFacts(
            code=country.country,
            items=country.items,
            merchants=country.merchants,
            categories=country.categories,
            prices=country.has_prices,
            samples=files.samples.count(country.country) if files else 0,
            bytes=sum(sizes[country.country].values()) if files else -1,
            indices=[_index(source) for source in country.sources],
        )
        for country in info.countries
    ]


def _index(source: pb.SourceInfo) -> Index:
    return Index(
        source=source.source,
        type=pb.InteractionType.Name(source.type).removeprefix(_TYPE) if source.type else "",
        engine=source.engine,
        space=source.space,
        dim=source.dim,
        ef=source.ef,
        recall=round(source.recall, 5),
        recall_k=source.recall_k,
        recall_target=round(source.recall_target, 5),
        neighbours=source.neighbours,
        triggers=source.triggers,
    )


def country_bytes(files: ServedFiles) -> dict[str, dict[str, int]]:
    """Bytes of each country's files by what they are of: "catalog" or a source."""
    sizes: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for file in files.manifest["files"]:
        parts = file["path"].split("/")
        if parts[0] == "countries":
            sizes[parts[1]][parts[2]] += file["bytes"]
    return {code: dict(by_part) for code, by_part in sizes.items()}


def total_bytes(files: ServedFiles) -> int:
    """Bytes of the whole bundle."""
    return sum(file["bytes"] for file in files.manifest["files"])


class CurvePoint(msgspec.Struct, frozen=True):
    """One measured setting: `setting` in words, such as "ef 128"; chosen: whether it is the one that serves."""

    setting: str
    recall: float
    search_us: float
    chosen: bool


class Curve(msgspec.Struct, frozen=True):
    """What was measured of one engine in one space."""

    engine: str
    space: str
    points: list[CurvePoint]


class IndexDetails(msgspec.Struct, frozen=True):
    """One index with everything that the manifest says of it, and its curves."""

    source: str
    type: str
    engine: str
    facts: dict[str, Any]
    curves: list[Curve]


def index_details(manifest: Mapping[str, Any], country: str) -> list[IndexDetails]:
    """List the indices of a country."""
    found = []
    for source, kind, entry in _entries(manifest["countries"][country]):
        scalars = {key: value for key, value in entry.items() if isinstance(value, str | int | float)}
        engine = str(scalars.pop("engine", "paths"))
        found.append(IndexDetails(source, kind, engine, scalars, _curves(entry)))
    return found


def _entries(country: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Find what is an index: (source, type, entry)."""
    for source, entry in country.items():
        if not isinstance(entry, dict):
            continue
        by_type = {kind: one for kind, one in entry.items() if isinstance(one, dict) and "engine" in one}
        if by_type:
            yield from ((source, kind, one) for kind, one in by_type.items())
        elif entry:
            yield source, "", entry


def _curves(entry: Mapping[str, Any]) -> list[Curve]:
    points: defaultdict[tuple[str, str], list[CurvePoint]] = defaultdict(list)
    for point in entry.get("curve", ()):
        # in a format of one engine, points do not name it
        engine = point.get("engine") or ("hnsw" if point.get("space") else entry["engine"])
        settings = {key: value for key, value in point.items() if key not in _MEASURES and value is not None}
        words = ", ".join(f"{key} {value}" for key, value in settings.items() if key not in _IDENTITY)
        served = {**settings, "engine": engine}
        chosen = all(entry.get(key) == value for key, value in served.items())
        one = CurvePoint(words, point["recall"], point["search_us"], chosen)
        points[engine, point.get("space") or ""].append(one)
    return [Curve(engine, space, measured) for (engine, space), measured in sorted(points.items())]
