"""What kind of vectors a catalogue has: norms, spectrum, how near neighbours are, how steep popularity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 500
_RANKS = (1, 10, 100)
_SPECTRUM_ROWS = 100_000


@dataclass(frozen=True)
class Statistics:
    """What was measured.

    norm_sigma: deviation of log lengths. norm_p1, norm_p99: lengths relative to the median. effective_rank: exp of the
    entropy of the spectrum. top_10: its share in 10 dimensions. cosine_n: mean cosine of an item and its n-th nearest.
    popularity_slope: of log popularity over log rank, upper half. norm_popularity: their correlation, of logarithms.
    bias_mean, bias_sigma: of the item bias, relative to the median length.
    """

    items: int
    dim: int
    norm_sigma: float
    norm_p1: float
    norm_p99: float
    effective_rank: float
    top_10: float
    cosine_1: float
    cosine_10: float
    cosine_100: float
    popularity_slope: float
    norm_popularity: float
    bias_mean: float
    bias_sigma: float


def statistics(
    vectors: NDArray[np.float32], biases: NDArray[np.float32], popularity: NDArray[np.int64], seed: int = 7
) -> Statistics:
    """Measure vectors (N, d), biases (N,) and popularity (N,); neighbours of a sample of 500 items."""
    rng = np.random.default_rng(seed)
    norms = np.linalg.norm(vectors, axis=1)
    middle = float(np.median(norms))
    alive = norms > 0
    spectrum = _spectrum(vectors, rng)
    cosines = _cosines(vectors / np.maximum(norms, 1e-12)[:, None], rng)
    return Statistics(
        items=len(vectors),
        dim=vectors.shape[1],
        norm_sigma=float(np.log(norms[alive]).std()),
        norm_p1=float(np.percentile(norms, 1)) / middle,
        norm_p99=float(np.percentile(norms, 99)) / middle,
        effective_rank=float(np.exp(-(spectrum * np.log(np.maximum(spectrum, 1e-30))).sum())),
        top_10=float(spectrum[:10].sum()),
        cosine_1=cosines[0],
        cosine_10=cosines[1],
        cosine_100=cosines[2],
        popularity_slope=_slope(popularity),
        norm_popularity=float(np.corrcoef(np.log1p(popularity[alive]), np.log(norms[alive]))[0, 1]),
        bias_mean=float(biases.mean()) / middle,
        bias_sigma=float(biases.std()) / middle,
    )


def _spectrum(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of each principal direction, largest first; not centred, as inner products are not."""
    if len(vectors) > _SPECTRUM_ROWS:
        vectors = vectors[np.sort(rng.choice(len(vectors), _SPECTRUM_ROWS, replace=False))]
    values = np.linalg.eigvalsh(vectors.T.astype(np.float64) @ vectors)[::-1].clip(min=0)
    shares: NDArray[np.float64] = values / values.sum()
    return shares


def _cosines(units: NDArray[np.float32], rng: np.random.Generator) -> list[float]:
    places = rng.choice(len(units), min(_SAMPLE, len(units)), replace=False)
    nearest = []
    for start in range(0, len(places), 50):
        own = places[start : start + 50]
        scores = units[own] @ units.T
        scores[np.arange(len(own)), own] = -np.inf
        most = min(_RANKS[-1], len(units) - 1)
        nearest.append(-np.sort(np.partition(-scores, most - 1, axis=1)[:, :most], axis=1))
    profile = np.concatenate(nearest).mean(axis=0)
    return [float(profile[min(rank, len(profile)) - 1]) for rank in _RANKS]


def _slope(popularity: NDArray[np.int64]) -> float:
    """How fast log popularity falls with log rank, over the popular half; 0 if nobody has any."""
    counts = np.sort(popularity)[::-1][: max(2, len(popularity) // 2)]
    counts = counts[counts > 0]
    if len(counts) < 2:  # noqa: PLR2004 - a line needs two points
        return 0.0
    return float(-np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0])
