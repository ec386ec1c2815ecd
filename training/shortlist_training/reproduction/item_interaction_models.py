"""The models that the item-interaction parts compare, and how their settings are chosen on validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.copurchase import CopurchaseScorer, baskets, copurchase_counts
from shortlist_training.hit_rate import ItemScorer, Wanted, hit_rates, ranks
from shortlist_training.item_interaction.embeddings import Embeddings, Similarity, TypedScorer
from shortlist_training.item_interaction.skipgram import Custom, SkipgramConfig, train_skipgram
from shortlist_training.item_interaction.tokens import session_events, tokenise, without_types
from shortlist_training.reproduction.parts import Progress

VIEW, CART, PURCHASE = InteractionType.VIEW, InteractionType.CART, InteractionType.PURCHASE
ALL = (VIEW, CART, PURCHASE)
SELECTION_SIZE = 200
"""Settings are chosen by the hit rate of 200 candidates, the size of the paper's tables."""


class EmbeddingChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What validation decides for an embedding model. targets: whose tokens are candidates, "purchase" or "any"."""

    typed: bool
    gap_s: int
    min_events: int
    skipgram: SkipgramConfig
    targets: str = "any"
    similarity: Similarity = "inner"


class CopurchaseChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What validation decides for co-purchase: the basket's gap, and an item's weight in its own vector."""

    gap_s: int
    own: float


@dataclass(frozen=True)
class Question:
    """A log to train on, its items (ascending keys), and what is to be found.

    wanted: given the kinds of interactions that a model starts from, and from how many of the last ones of a user.
    """

    log: ir.Table
    items: NDArray[np.generic]
    wanted: Callable[[Sequence[InteractionType], int], Wanted]


class Grids(msgspec.Struct, frozen=True, kw_only=True):
    """What validation chooses from: the same (epochs, learning rate) pairs for every embedding model."""

    gap_s: int
    min_events: int
    epochs_and_rates: tuple[tuple[int, float], ...]
    copurchase: tuple[CopurchaseChoice, ...]

    def embeddings(self, *, typed: bool, custom: Custom) -> list[EmbeddingChoice]:
        """List the settings of one embedding model."""
        return [
            EmbeddingChoice(
                typed=typed,
                gap_s=self.gap_s,
                min_events=self.min_events,
                skipgram=SkipgramConfig(epochs=epochs, learning_rate=rate, custom=custom),
            )
            for epochs, rate in self.epochs_and_rates
        ]


class Tuned(msgspec.Struct, frozen=True):
    """An embedding model's best settings on validation, its hit rate there, and how many last interactions it takes."""

    choice: EmbeddingChoice
    hit_rate: float
    last: int


class Choices(msgspec.Struct, frozen=True):
    """All that validation decided."""

    typed: Tuned
    plain_negatives: Tuned
    untyped: Tuned
    copurchase: CopurchaseChoice
    copurchase_last: int

    def remarks(self) -> tuple[str, ...]:
        """Say what was chosen."""
        named = {
            "item-interaction": self.typed,
            "item-interaction without custom negatives": self.plain_negatives,
            "no-interaction": self.untyped,
        }
        found = (
            f"{name}: {tuned.choice.skipgram.epochs} epochs at {tuned.choice.skipgram.learning_rate:g}, candidates by "
            f"{tuned.choice.targets} tokens, last {tuned.last} ({tuned.hit_rate:.4f} on validation)"
            for name, tuned in named.items()
        )
        basket = f"{self.copurchase.gap_s} s baskets, own weight {self.copurchase.own:g}, last {self.copurchase_last}"
        return (
            f"Chosen on validation by the hit rate at {SELECTION_SIZE}: {'; '.join(found)}; co-purchase: {basket}.",
        )


class PopularityScorer:
    """Scores items by their number of purchases, whatever the source: a baseline that the paper lacks."""

    def __init__(self, log: ir.Table, items: NDArray[np.generic]) -> None:
        bought = log.filter(log["type"] == int(PURCHASE)).group_by("item").agg(count=lambda t: t.count()).to_pyarrow()
        self._counts = np.full(len(items), -np.inf, dtype=np.float32)
        self._counts[np.searchsorted(items, bought["item"].to_numpy())] = bought["count"].to_numpy()
        self.covered: NDArray[np.bool_] = np.ones(len(items), dtype=bool)

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Repeat the counts: (Q, I) float32."""
        return np.tile(self._counts, (len(rows), 1))


def learn(log: ir.Table, choice: EmbeddingChoice, seed: int) -> Embeddings:
    """Train embeddings on a log."""
    events = session_events(log, choice.gap_s, choice.min_events)
    sequences, vocabulary = tokenise(events if choice.typed else without_types(events))
    return Embeddings(vocabulary, *train_skipgram(sequences, vocabulary, choice.skipgram, seed))


def typed_scorer(
    learned: Embeddings, items: NDArray[np.generic], source: InteractionType, choice: EmbeddingChoice
) -> TypedScorer:
    """Use embeddings as candidates for one source type."""
    targets = (PURCHASE,) if choice.targets == "purchase" else ALL
    return TypedScorer(learned, items, source, targets, choice.similarity)


def copurchase_scorer(log: ir.Table, items: NDArray[np.generic], choice: CopurchaseChoice) -> CopurchaseScorer:
    """Count co-purchases in a log."""
    return CopurchaseScorer(copurchase_counts(baskets(log, choice.gap_s).to_pyarrow(), items), choice.own)


def mean_hit_rate(scorer: ItemScorer, wanted: Wanted, size: int = SELECTION_SIZE) -> float:
    """Average h_p over the queries that want something, equation 3."""
    return float(np.nanmean(hit_rates(ranks(scorer, wanted), wanted, size)))


def fit(
    log: ir.Table, items: NDArray[np.generic], choices: Choices, seed: int
) -> dict[str, tuple[ItemScorer, Sequence[InteractionType]]]:
    """Train every model with its chosen settings; gives its scorer and the interactions that it starts from."""
    typed = learn(log, choices.typed.choice, seed)
    plain = learn(log, choices.plain_negatives.choice, seed)
    untyped = learn(log, choices.untyped.choice, seed)
    found: dict[str, tuple[ItemScorer, Sequence[InteractionType]]] = {
        f"{kind.name.lower()}-interaction": (typed_scorer(typed, items, kind, choices.typed.choice), (kind,))
        for kind in ALL
    }
    ablated = typed_scorer(plain, items, VIEW, choices.plain_negatives.choice)
    return found | {
        "view-interaction, random negatives only": (ablated, (VIEW,)),
        "no-interaction": (typed_scorer(untyped, items, VIEW, choices.untyped.choice), ALL),
        "co-purchase": (copurchase_scorer(log, items, choices.copurchase), ALL),
        "popularity": (PopularityScorer(log, items), ALL),
    }


def choose(question: Question, grids: Grids, seed: int, lasts: Sequence[int], progress: Progress) -> Choices:
    """Choose all models' settings on a validation question; `lasts` are the numbers of last interactions to try."""
    models: tuple[tuple[bool, Custom], ...] = ((True, "centre"), (True, "none"), (False, "none"))
    tuned = []
    for number, (typed, custom) in enumerate(models):
        grid = grids.embeddings(typed=typed, custom=custom)
        progress("choosing settings", number * len(grid), len(models) * len(grid))
        tuned.append(_tune(question, grid, lasts, seed))
    options = [
        (
            mean_hit_rate(copurchase_scorer(question.log, question.items, choice), question.wanted(ALL, last)),
            choice,
            last,
        )
        for choice in grids.copurchase
        for last in lasts
    ]
    _, copurchase, last = max(options, key=lambda option: option[0])
    return Choices(tuned[0], tuned[1], tuned[2], copurchase, last)


def _tune(question: Question, grid: Sequence[EmbeddingChoice], lasts: Sequence[int], seed: int) -> Tuned:
    """Choose training settings and target tokens with the middle of `lasts`, then the best of `lasts` for these."""
    middle = sorted(lasts)[len(lasts) // 2]
    found: list[tuple[float, EmbeddingChoice, TypedScorer]] = []
    for choice in grid:
        learned = learn(question.log, choice, seed)
        for targets in ("any", "purchase") if choice.typed else ("any",):
            variant = msgspec.structs.replace(choice, targets=targets)
            scorer = typed_scorer(learned, question.items, VIEW, variant)
            found.append((mean_hit_rate(scorer, question.wanted(_kinds(choice), middle)), variant, scorer))
    _, best, scorer = max(found, key=lambda option: option[0])
    by_last = {last: mean_hit_rate(scorer, question.wanted(_kinds(best), last)) for last in lasts}
    chosen = max(by_last, key=lambda last: by_last[last])
    return Tuned(best, by_last[chosen], chosen)


def _kinds(choice: EmbeddingChoice) -> Sequence[InteractionType]:
    return (VIEW,) if choice.typed else ALL
