"""Writes one country's two-tower, PDN and item-interaction files and says what the manifest must say of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from index_store.arrays import save_array
from index_store.calibration import calibrate
from index_store.content import CountryContent, IndexPolicy, InteractionContent, InteractionPolicy, SourceGoldenCase
from index_store.index_entry import VectorEntry
from index_store.layout import PDN_ARRAYS, pairs_file, pdn_array, two_tower_file
from index_store.manifest import PairsEntry, PdnEntry, TwoTowerEntry, TypeName
from index_store.recall import GoldenSearch
from models.interactions import InteractionType

Cases = Sequence[SourceGoldenCase]


def write_two_tower(
    staged: Path, code: str, country: CountryContent, cases: Cases, policy: IndexPolicy
) -> TwoTowerEntry | None:
    """Write the two-tower items and their index; None where the content has none."""
    content = country.two_tower
    if content is None:
        return None
    vectors = content.vectors.astype(np.float32)
    save_array(staged / two_tower_file(code, "vectors.npy"), vectors)
    save_array(staged / two_tower_file(code, "input_vectors.npy"), content.input_vectors.astype(np.float32))
    golden = [
        GoldenSearch.of(vectors, case.encoded["two_tower_query"], case.k)
        for case in cases
        if case.source == "two_tower" and "two_tower_query" in case.encoded
    ]
    found = calibrate(f"{code}, two_tower", vectors, content.calibration_queries, content.own_queries, golden, policy)
    if found.index:
        found.index.save((staged / two_tower_file(code, "vectors.npy")).parent)
    return TwoTowerEntry(**msgspec.structs.asdict(found.entry), input_dim=content.input_vectors.shape[1])


def write_pdn(staged: Path, code: str, country: CountryContent) -> PdnEntry | None:
    """Write the path index and the items' sides of both encoders; None where the content has none."""
    content = country.pdn
    if content is None:
        return None
    dtypes = {"neighbours": np.int32, "scores": np.float16}
    for name in PDN_ARRAYS:
        save_array(staged / pdn_array(code, name), getattr(content, name).astype(dtypes.get(name, np.float32)))
    return PdnEntry(
        neighbours=content.neighbours.shape[1],
        dim=content.item_vectors.shape[1],
        trigger_dim=content.trigger_vectors.shape[1],
    )


def write_item_interaction(
    staged: Path,
    code: str,
    country: CountryContent,
    cases: Cases,
    settings: InteractionPolicy | None,
    policy: IndexPolicy,
) -> dict[TypeName, PairsEntry]:
    """Write every type's pairs, and an index for target types: only they are searched among by the million."""
    found: dict[TypeName, PairsEntry] = {}
    for kind, content in sorted(country.item_interaction.items()):
        name = type_name(kind)
        save_array(staged / pairs_file(code, name, "rows.npy"), content.rows.astype(np.int32))
        save_array(staged / pairs_file(code, name, "vectors.npy"), content.vectors.astype(np.float32))
        if settings and kind in settings.targets:
            entry = _write_index(staged, code, country, kind, cases, settings, policy)
        else:
            entry = _never_searched(content, policy)
        found[name] = PairsEntry(**msgspec.structs.asdict(entry), count=len(content.rows))
    return found


def _write_index(
    staged: Path,
    code: str,
    country: CountryContent,
    kind: InteractionType,
    cases: Cases,
    settings: InteractionPolicy,
    policy: IndexPolicy,
) -> VectorEntry:
    content = country.item_interaction[kind]
    vectors = content.vectors.astype(np.float32)
    golden = _golden_searches(country, kind, cases, settings)
    queries = content.calibration_queries
    found = calibrate(f"{code}, {type_name(kind)} pairs", vectors, queries, len(queries), golden, policy)
    if found.index:
        found.index.save((staged / pairs_file(code, type_name(kind), "vectors.npy")).parent)
    return found.entry


def _golden_searches(
    country: CountryContent, target: InteractionType, cases: Cases, settings: InteractionPolicy
) -> list[GoldenSearch]:
    """List the searches among `target` that golden histories' pairs make; a few more than serving does, no harm."""
    row_of = {int(item): row for row, item in enumerate(country.item_ids)}
    vectors = country.item_interaction[target].vectors
    found = []
    for case in cases:
        if case.source == "item_interaction" and all(item in row_of for item, _, _ in case.history):
            queries = _pair_vectors(
                country.item_interaction, settings, [(row_of[i], kind) for i, kind, _ in case.history]
            )
            found += [GoldenSearch.of(vectors, query, case.k) for query in queries]
    return found


def _pair_vectors(
    pairs: Mapping[InteractionType, InteractionContent], settings: InteractionPolicy, history: Sequence[tuple[int, int]]
) -> np.ndarray:
    wanted = []
    for kind in settings.sources:
        if kind in pairs:
            mine = np.array([row for row, type_ in history if type_ == kind], dtype=np.int64)
            wanted.append(pairs[kind].vectors[np.isin(pairs[kind].rows, mine)])
    return np.concatenate(wanted) if wanted else np.zeros((0, next(iter(pairs.values())).vectors.shape[1]), np.float32)


def _never_searched(content: InteractionContent, policy: IndexPolicy) -> VectorEntry:
    count, dim = content.vectors.shape
    return VectorEntry(
        dim=dim,
        engine="exact",
        recall_k=min(policy.recall_k, count),
        recall_target=policy.recall_target,
        recall=1.0,
        queries=0,
        own_queries=0,
        curve=(),
    )


def type_name(kind: InteractionType) -> TypeName:
    """Give the name of a type in manifests and folders."""
    name: TypeName = InteractionType(kind).name  # type: ignore[assignment] # UNSPECIFIED is refused by the reader
    return name
