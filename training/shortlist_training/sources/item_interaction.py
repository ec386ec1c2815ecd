"""The item-interaction source of a bundle: unit vectors of (item, type) pairs, and a country's part of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index_store.content import (
    CountryContent,
    EncoderContent,
    InteractionContent,
    InteractionPolicy,
    SourceGoldenCase,
)
from models.interactions import InteractionType
from shortlist_training.histories import History
from shortlist_training.item_interaction.serving import PairVectors, TypedVectors, typed_vectors
from shortlist_training.sources.base import Country, exact_top


@dataclass(frozen=True)
class InteractionSource:
    """Trained pairs. See `sources.base.Source`. items: I; queries: calibration vectors per country and type."""

    pairs: PairVectors
    policy: InteractionPolicy
    items: int
    queries: int
    answers_empty: bool = False

    def scores(self, known: Sequence[History]) -> NDArray[np.float32]:
        """Score by the largest cosine of a target pair with one of the last pairs."""
        vectors = typed_vectors(self.pairs, self.policy, self.items)
        return np.stack([vectors.scores(history) for history in known])

    def encoders(self) -> Mapping[str, EncoderContent]:
        """There is nothing to encode: a user is the pairs that begin a module."""
        return {}

    def country(self, country: Country, content: CountryContent) -> CountryContent:
        """Gather the country's pairs; the pairs that held-out users end with calibrate the indices."""
        vectors = self._local(country)
        ends = [vectors.sources_of(country.localized(history)) for history in country.held_out]
        queries = [found for found in ends if len(found)]
        parts = {}
        for kind, (rows, own) in vectors.by_type.items():
            asked = np.concatenate(queries)[: self.queries] if queries else own[:1]
            parts[InteractionType(kind)] = InteractionContent(rows.astype(np.int32), own, asked)
        return replace(content, item_interaction=parts)

    def golden(self, country: Country, k: int) -> list[SourceGoldenCase]:
        """Answer histories; who has no pair to begin with gets no items."""
        vectors = self._local(country)
        cases = []
        for history in country.golden:
            scores = vectors.scores(country.localized(history))
            item_ids, best = exact_top(scores, country.item_ids, k)
            cases.append(
                SourceGoldenCase(
                    source="item_interaction",
                    country=country.code,
                    history=country.request(history),
                    k=k,
                    encoded={},
                    item_ids=item_ids,
                    scores=best,
                )
            )
        return cases

    def _local(self, country: Country) -> TypedVectors:
        by_type = {}
        for kind in np.unique(self.pairs.types):
            rows, vectors = self.pairs.of_type(int(kind))
            here = np.isin(rows, country.rows)
            if here.any():
                by_type[int(kind)] = (country.local(rows[here]), vectors[here])
        return TypedVectors(by_type, len(country.rows), self.policy)
