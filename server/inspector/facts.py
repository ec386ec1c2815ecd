"""What is loaded, as the page shows it: from GetServingInfo and, where the files are at hand, the manifest.

The manifest is read by its shape: every entry of a country is an index, whatever stands in a curve beside `recall` and
`search_us` is a setting. A format that adds an engine or a source needs no change here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from index_store.index_entry import VectorEntry
from index_store.manifest import CountryEntry
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.inspector.bundles import ServedFiles

_TYPE = "INTERACTION_TYPE_"
_MEASURES = ("recall", "search_us")
_KIND_WORDS = {"space": "{}", "m": "M {}", "principal": "{} axes"}
_IDENTITY = ("engine", *_KIND_WORDS)


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
    for file in files.manifest.files:
        parts = file.path.split("/")
        if parts[0] == "countries":
            sizes[parts[1]][parts[2]] += file.bytes
    return {code: dict(by_part) for code, by_part in sizes.items()}


def total_bytes(files: ServedFiles) -> int:
    """Bytes of the whole bundle."""
    return sum(file.bytes for file in files.manifest.files)


class CurvePoint(msgspec.Struct, frozen=True):
    """One measured setting: `setting` in words, such as "ef 128"; chosen: whether it is the one that serves."""

    setting: str
    recall: float
    search_us: float
    chosen: bool


class Curve(msgspec.Struct, frozen=True):
    """What was measured of one engine; kind: such as "ip M 16", "" where the engine comes in one kind."""

    engine: str
    kind: str
    points: list[CurvePoint]


class IndexDetails(msgspec.Struct, frozen=True):
    """One index with everything that the manifest says of it, and its curves. reason: why it was chosen."""

    source: str
    type: str
    engine: str
    facts: dict[str, str | int | float]
    reason: str
    curves: list[Curve]


def index_details(country: CountryEntry) -> list[IndexDetails]:
    """List the indices of a country."""
    found = []
    for source, kind, entry in _entries(country):
        scalars = _scalars(msgspec.to_builtins(entry))
        engine, reason = str(scalars.pop("engine", "paths")), str(scalars.pop("reason", ""))
        curves = _curves(entry) if isinstance(entry, VectorEntry) else []
        found.append(IndexDetails(source, kind, engine, scalars, reason, curves))
    return found


def _entries(country: CountryEntry) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Find what is an index: (source, type, entry)."""
    for source, entry in msgspec.structs.asdict(country).items():
        if isinstance(entry, msgspec.Struct):
            yield source, "", entry
        elif isinstance(entry, dict):
            yield from ((source, kind, one) for kind, one in entry.items())


def _scalars(entry: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Flatten an entry: an engine's own settings stand in an object of its name."""
    flat: dict[str, str | int | float] = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            flat |= _scalars(value)
        elif isinstance(value, str | int | float):
            flat[key] = value
    return flat


def _curves(entry: VectorEntry) -> list[Curve]:
    """Make one curve of all points that differ in how hard they search only."""
    points: defaultdict[tuple[str, str], list[CurvePoint]] = defaultdict(list)
    for point in entry.curve:
        settings = {key: value for key, value in msgspec.to_builtins(point).items() if value is not None}
        words = ", ".join(f"{key} {value}" for key, value in settings.items() if key not in (*_MEASURES, *_IDENTITY))
        kind = " ".join(_KIND_WORDS[key].format(settings[key]) for key in _KIND_WORDS if key in settings)
        points[settings["engine"], kind].append(CurvePoint(words, point.recall, point.search_us, entry.chosen(point)))
    return [Curve(engine, kind, measured) for (engine, kind), measured in sorted(points.items())]
