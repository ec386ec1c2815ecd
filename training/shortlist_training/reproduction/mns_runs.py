"""Trains the models of the MNS parts, each with several seeds, and keeps the ranks of the test labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist_training.reproduction.parts import PartContext
from shortlist_training.two_tower.dataset import RetrievalData
from shortlist_training.two_tower.experiment import Run, popularity_ranks, ranks, train_run
from shortlist_training.two_tower.features import PADDING, UNKNOWN, FeatureTable
from shortlist_training.two_tower.train import Epoch, TrainConfig

Ranks = NDArray[np.int64]
Told = Mapping[int, RetrievalData]
"""The data with queries that are told only so many products of the user's history."""


@dataclass(frozen=True)
class Measured:
    """One model, trained with S seeds.

    test, cold (S, P) int64: ranks of the test labels among all items, and among cold items only. told: `test` again for
    queries that are told so many products of the history. validation (S,): Recall@50 of the chosen epochs `best` (S,).
    """

    train: TrainConfig | None
    test: Ranks
    cold: Ranks
    validation: NDArray[np.float64]
    best: NDArray[np.int64]
    told: Mapping[int, Ranks] = field(default_factory=dict)


def measure(
    context: PartContext, data: RetrievalData, name: str, run: Run, seeds: Sequence[int], told: Told | None = None
) -> Measured:
    """Train one run with each seed and rank the test labels; what `context.work` has is not trained again."""
    found = [_measure_one(context, data, name, run, seed, told or {}) for seed in seeds]
    return Measured(
        train=run.train,
        test=np.stack([one["test"] for one in found]),
        cold=np.stack([one["cold"] for one in found]),
        validation=np.array([float(one["validation"]) for one in found]),
        best=np.array([int(one["best"]) for one in found]),
        told={length: np.stack([one[f"told_{length}"] for one in found]) for length in told or {}},
    )


def popularity(data: RetrievalData, told: Told) -> Measured:
    """Rank by training interactions: nothing is random, and the history changes nothing but what is excluded."""
    found = popularity_ranks(data, "test")[None, :]
    unknown = np.full_like(found, len(data.counts))
    return Measured(None, found, unknown, np.zeros(1), np.zeros(1, dtype=np.int64), dict.fromkeys(told, found))


def untold(queries: FeatureTable) -> FeatureTable:
    """Take away what queries know of products and their titles; country, time, and how often the user came stay."""
    emptied = {name: torch.full_like(queries.columns[name], PADDING) for name in ("history", "history_words")}
    emptied["seed_words"] = torch.full_like(queries.columns["seed_words"], PADDING)
    emptied["seed_item"] = torch.full_like(queries.columns["seed_item"], UNKNOWN)
    return FeatureTable({**queries.columns, **emptied})


def told_lengths(data: RetrievalData, lengths: Sequence[int], build: Callable[[int], RetrievalData]) -> Told:
    """Shorten the histories of all queries: `build` makes the data for one length of 1 or more."""
    return {
        length: replace(data, queries=build(length).queries if length else untold(data.queries)) for length in lengths
    }


def _measure_one(
    context: PartContext, data: RetrievalData, name: str, run: Run, seed: int, told: Told
) -> Mapping[str, NDArray[np.generic]]:
    path = context.work / f"{name.replace(' ', '-')}-seed-{seed}.npz"
    if not path.is_file():

        def on_epoch(epoch: Epoch) -> None:
            label = f"{name}, seed {seed}: loss {epoch.loss:.4f}, validation Recall@50 {epoch.score:.4f}"
            context.progress(label, epoch.number, run.train.epochs)

        trained = train_run(data, run, seed, on_epoch)
        found: dict[str, NDArray[np.generic]] = {
            "test": ranks(data, trained.model, "test"),
            "cold": ranks(data, trained.model, "test", data.counts == 0),
            "validation": np.array(trained.epochs[trained.best - 1].score),
            "best": np.array(trained.best),
        }
        found |= {f"told_{length}": ranks(shorter, trained.model, "test") for length, shorter in told.items()}
        _keep(path, found)
    with np.load(path, allow_pickle=False) as kept:
        return dict(kept)


def _keep(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    draft = path.with_name(f"draft-{path.name}")
    np.savez(draft, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for allow_pickle
    draft.rename(path)
