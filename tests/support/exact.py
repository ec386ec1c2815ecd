"""Answers computed from a bundle's files with numpy alone: none of the serving code takes part."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Histories = list[NDArray[np.uint64]]


@dataclass(frozen=True)
class ExactCountry:
    """One country's files. item_ids: (N,) uint64; vectors: (N, D) float64, v_i and b_i; recall as in the manifest."""

    code: str
    item_ids: NDArray[np.uint64]
    vectors: NDArray[np.float64]
    engine: str
    recall: float
    recall_target: float
    max_history: int

    def scores(self, history: NDArray[np.uint64]) -> NDArray[np.float64]:
        """`<mean(v_h), v_i> + b_i` for all items, from the most recent known items of a history of item ids."""
        place = {int(item): row for row, item in enumerate(self.item_ids)}
        rows = [place[int(item)] for item in history if int(item) in place][-self.max_history :]
        items, biases = self.vectors[:, :-1], self.vectors[:, -1]
        user = items[rows].mean(axis=0) if rows else np.zeros(items.shape[1])
        return items @ user + biases


def read_country(bundle: Path, code: str) -> ExactCountry:
    """Read one country of a version directory."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    led = manifest["countries"][code]["led"]
    spec = json.loads((bundle / "encoders" / "led.json").read_text())
    folder = bundle / "countries" / code
    return ExactCountry(
        code=code,
        item_ids=np.load(folder / "catalog" / "item_ids.npy"),
        vectors=np.load(folder / "led" / "vectors.npy").astype(np.float64),
        engine=led["engine"],
        recall=led["recall"],
        recall_target=led["recall_target"],
        max_history=spec["max_history"],
    )


def countries(bundle: Path) -> list[str]:
    """The codes of a version directory's countries."""
    return sorted(json.loads((bundle / "manifest.json").read_text())["countries"])


def sample_histories(bundle: Path, country: ExactCountry, limit: int) -> Histories:
    """Histories of up to `limit` sample users: the country's own first, then others who know items of its catalogue."""
    lines = (bundle / "samples" / "timelines.jsonl").read_text().splitlines()
    timelines = [json.loads(line) for line in lines]
    timelines.sort(key=lambda timeline: timeline["country"] != country.code)
    histories: Histories = []
    for timeline in timelines:
        history = np.array(timeline["item_ids"], dtype=np.uint64)
        if np.isin(history, country.item_ids).any():
            histories.append(history)
        if len(histories) == limit:
            break
    return histories


def share_found(country: ExactCountry, scores: NDArray[np.float64], item_ids: list[int], k: int) -> float:
    """Share of the exact top k among the served items; one that ties with the k-th score counts."""
    k = min(k, len(country.item_ids))
    bar = np.sort(scores)[-k] - 1e-4 * max(1.0, abs(np.sort(scores)[-k]))
    order = np.argsort(country.item_ids)
    rows = order[np.searchsorted(country.item_ids, np.array(item_ids, dtype=np.uint64), sorter=order)]
    return float((scores[rows] >= bar).sum()) / k
