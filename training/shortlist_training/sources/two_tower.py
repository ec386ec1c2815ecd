"""The two-tower source of a bundle: the trained towers, and a country's part of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from index_store.content import CountryContent, EncoderContent, SourceGoldenCase, TwoTowerContent
from models.features import FeatureTransform
from models.two_tower import NO_SEED
from shortlist_training.config_sources import TwoTowerSettings
from shortlist_training.histories import History
from shortlist_training.sources.base import Country, Learning, exact_top
from shortlist_training.sources.content import item_content
from shortlist_training.two_tower.serving_export import export_query_tower
from shortlist_training.two_tower.serving_model import ServedTwoTower
from shortlist_training.two_tower.serving_train import encode_items, encode_users, input_vectors


@dataclass(frozen=True)
class TwoTowerSource:
    """Trained towers. See `sources.base.Source`."""

    model: ServedTwoTower
    transforms: Sequence[FeatureTransform]
    settings: TwoTowerSettings
    seed: int
    answers_empty: bool = True

    @classmethod
    def load(
        cls,
        learning: Learning,
        transforms: Sequence[FeatureTransform],
        settings: TwoTowerSettings,
        weights: Mapping[str, NDArray[np.float32]],
        seed: int,
    ) -> "TwoTowerSource":
        """Rebuild the towers from saved weights."""
        counts = learning.histories.training_counts()
        content = item_content(learning.catalogue, counts, learning.svd, settings.items)
        model = ServedTwoTower(content, transforms, settings)
        model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        return cls(model.eval(), transforms, settings, seed)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return encode_items(self.model)

    @cached_property
    def _inputs(self) -> NDArray[np.float32]:
        return input_vectors(self.model)

    def scores(self, known: Sequence[History]) -> NDArray[np.float32]:
        """Score by <u(x), v(y)>, without a seed, an hour after the newest interaction."""
        users = encode_users(self.model, known, self.transforms, self.settings.max_history)
        return np.asarray(users @ self._vectors.T)

    def vectors(self, known: Sequence[History]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Encode all trained items (I, K), and users (U, K) as `scores` does."""
        return self._vectors, encode_users(self.model, known, self.transforms, self.settings.max_history)

    def encoders(self) -> Mapping[str, EncoderContent]:
        """Export the query tower."""
        exported = export_query_tower(self.model, self.transforms, self.settings.max_history, self.seed)
        return {"two_tower_query": exported}

    def country(self, country: Country, content: CountryContent) -> CountryContent:
        """Gather the country's vectors; held-out users' vectors calibrate its index."""
        known = list(country.held_out) or [empty_history(country.code)]
        queries = encode_users(self.model, known, self.transforms, self.settings.max_history)
        own = min(country.own, len(known))
        vectors, inputs = self._vectors[country.rows], self._inputs[country.rows]
        return replace(content, two_tower=TwoTowerContent(vectors, inputs, queries, own))

    def golden(self, country: Country, k: int) -> list[SourceGoldenCase]:
        """Answer histories, every second of them with the oldest item as seed, an hour after the newest interaction."""
        cases = []
        for number, full in enumerate(country.golden):
            history = full.recent(self.settings.max_history)
            seed = int(history.rows[0]) if number % 2 else NO_SEED
            time_ms = history.asked_ms()
            user = encode_users(
                self.model, [history], self.transforms, self.settings.max_history, np.array([seed]), time_ms
            )[0]
            item_ids, scores = exact_top(
                self._vectors[country.rows] @ user, country.item_ids, min(k, len(country.rows))
            )
            cases.append(
                SourceGoldenCase(
                    source="two_tower",
                    country=country.code,
                    history=country.request(history),
                    k=k,
                    encoded={"two_tower_query": user},
                    item_ids=item_ids,
                    scores=scores,
                    seed=None if seed == NO_SEED else int(country.item_ids[country.local(np.array([seed]))[0]]),
                    time_ms=time_ms,
                    features=history.features,
                )
            )
        return cases


def empty_history(country: str) -> History:
    """Give the history of a user who has none."""
    nothing = np.zeros(0, dtype=np.int64)
    return History(nothing, nothing, nothing, country, {})
