"""The PDN source of a bundle: the trained nets, and a country's path index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from index_store.content import CountryContent, EncoderContent, PdnContent, SourceGoldenCase
from models.features import FeatureTransform, Transforms
from shortlist_training.config_sources import PdnSettings
from shortlist_training.histories import History
from shortlist_training.pdn.serving_candidates import Cooccurrence, candidate_pairs, profile_matrix
from shortlist_training.pdn.serving_export import export_pdn
from shortlist_training.pdn.serving_index import (
    GreedyScorer,
    PathIndex,
    ServedVectors,
    encode_user,
    path_index,
    retrieve,
)
from shortlist_training.pdn.serving_loss import Paths
from shortlist_training.pdn.serving_model import ServedPdn
from shortlist_training.sources.base import Country, Learning, exact_top
from shortlist_training.sources.content import ItemContent, item_content
from shortlist_training.sources.people import user_tensors
from shortlist_training.timelines import Rows, incidence

_CLEAR_GAP = 1e-3  # golden weights this close at the cut could be cut otherwise by another order of float32 sums


@dataclass(frozen=True)
class PdnSource:
    """Trained nets. See `sources.base.Source`."""

    model: ServedPdn
    content: ItemContent
    owned: sp.csr_matrix
    transforms: Sequence[FeatureTransform]
    settings: PdnSettings
    seed: int
    answers_empty: bool = False
    _last: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(
        cls,
        learning: Learning,
        transforms: Sequence[FeatureTransform],
        settings: PdnSettings,
        weights: Mapping[str, NDArray[np.float32]],
        seed: int,
    ) -> "PdnSource":
        """Rebuild the nets from saved weights; the statistics are those of all training users."""
        histories = learning.histories
        content = item_content(learning.catalogue, histories.training_counts(), learning.svd, settings.items)
        model = ServedPdn(content, transforms, settings)
        model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        users = [np.unique(history.rows) for history in histories.training()]
        return cls(model.eval(), content, incidence(users, histories.items), transforms, settings, seed)

    @cached_property
    def _log(self) -> Cooccurrence:
        return Cooccurrence(self.owned, self.settings.activity_power, ease_lambda=self.settings.ease_lambda)

    @cached_property
    def _profiles(self) -> sp.csr_matrix:
        return profile_matrix(self.content.words, self.content.category, len(self.content.ids))

    @cached_property
    def _vectors(self) -> ServedVectors:
        return ServedVectors.of(self.model)

    @cached_property
    def _everything(self) -> PathIndex:
        """Index all trained items with all of their candidates."""
        return self.index(np.arange(len(self.content.ids)), self.settings.by_log + self.settings.by_profile)

    def index(self, rows: Rows, neighbours: int) -> PathIndex:
        """Build the path index among some trained items, ascending."""
        pairs = candidate_pairs(self._log, self._profiles, rows, self.settings.by_log, self.settings.by_profile)
        return path_index(self.model, pairs, rows, max(1, min(neighbours, len(rows) - 1)))

    def _index_of(self, country: Country) -> PathIndex:
        """Build a country's index once for its content and its golden cases; only the last country's is kept."""
        if self._last.get("code") != country.code:
            self._last.update(code=country.code, index=self.index(country.rows, self.settings.neighbours))
        found: PathIndex = self._last["index"]
        return found

    def scores(self, known: Sequence[History]) -> NDArray[np.float32]:
        """Score by greedy retrieval, equation 14, with the published numbers of triggers and neighbours."""
        scorer = GreedyScorer(
            self.model,
            self._everything.best(self.settings.neighbours),
            known,
            self.transforms,
            self.settings.max_history,
            direct=self.settings.direct,
        )
        return scorer.score(np.arange(len(known)), self.settings.triggers)

    def vectors(self, known: Sequence[History]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the direct net's part, `[q_i, c]` (I, d + 1) and `[p_u, 1]` (U, d + 1)."""
        inputs = user_tensors(Transforms(self.transforms), [history.asking() for history in known])
        with torch.no_grad():
            users: NDArray[np.float32] = self.model.direct_user(*inputs.values()).numpy()
        return self._vectors.item_vectors, users

    def paths(self, known: Sequence[History]) -> Paths:
        """Weigh users' triggers, with all candidates of each: what greedy retrieval takes the best of."""
        users = [
            encode_user(self.model, self._vectors, history, self.transforms, self.settings.max_history)
            for history in known
        ]
        return Paths(self._everything, users, self._vectors.item_vectors if self.settings.direct else None)

    def encoders(self) -> Mapping[str, EncoderContent]:
        """Export TrigNet and the direct user tower."""
        vectors = self._vectors.trigger_vectors
        return export_pdn(self.model, vectors, self.transforms, self.settings.max_history, self.seed)

    def country(self, country: Country, content: CountryContent) -> CountryContent:
        """Build the country's path index and gather its vectors."""
        index = self._index_of(country)
        part = PdnContent(
            neighbours=index.neighbours,
            scores=index.scores,
            item_vectors=self._vectors.item_vectors[country.rows],
            trigger_vectors=self._vectors.trigger_vectors[country.rows],
        )
        return replace(content, pdn=part)

    def golden(self, country: Country, k: int) -> list[SourceGoldenCase]:
        """Answer histories an hour after their newest interaction; those with a near tie at the cut are left out."""
        found = [self._golden_case(country, history, k) for history in country.golden]
        cases = [case for case in found if case is not None]
        if not cases and country.golden:  # one trigger has no cut
            lone = self._golden_case(country, country.golden[0].recent(1), k)
            cases = [lone] if lone is not None else []
        return cases

    def _golden_case(self, country: Country, full: History, k: int) -> SourceGoldenCase | None:
        index = self._index_of(country)
        items = self._vectors.item_vectors[country.rows]
        history = full.recent(self.settings.max_history)
        time_ms = history.asked_ms()
        user = encode_user(self.model, self._vectors, history, self.transforms, self.settings.max_history, time_ms)
        rows = country.local(user.triggers.rows)
        order = np.lexsort((country.item_ids[rows], -user.weights))
        top = order[: self.settings.triggers]
        rest = order[self.settings.triggers :]
        if len(rest) and user.weights[top[-1]] - user.weights[rest[0]] < _CLEAR_GAP:
            return None
        found, scores = retrieve(index, rows[top], user.weights[top], items @ user.vector, len(top))
        item_ids, best = exact_top(scores, country.item_ids[found], k)
        return SourceGoldenCase(
            source="pdn",
            country=country.code,
            history=country.request(history),
            k=k,
            encoded={"trignet": user.weights, "pdn_user": user.vector},
            item_ids=item_ids,
            scores=best,
            time_ms=time_ms,
            features=history.features,
        )
