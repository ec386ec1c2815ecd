"""Recommender-like catalogues of any size: clustered, low-rank, norms log-normal, popularity by Zipf's law.

What makes search hard in a recommender is drawn here: items lie in clusters of very different sizes within a few
dimensions of the space, their lengths differ, and users are means of a few items of one to three clusters, so that the
answers' norms are not those of the catalogue. `loadtest.fit` measures these things on real vectors and finds a recipe
that draws them again.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

_CHUNK = 250_000


@dataclass(frozen=True)
class Recipe:
    """How a catalogue is drawn. Lengths are relative to a cluster centre's, which is 1 in every latent dimension.

    rank: latent dimensions. decay: the variance of latent dimension j falls as (j + 1)^-decay. cluster_exponent: the
    size of the c-th largest cluster falls as c^-exponent. within: deviation of an item from its centre, in latent
    dimensions. ambient: deviation in all dimensions. norm_sigma: deviation of the logarithm of the length.
    popularity_exponent: popularity falls as rank^-exponent. norm_popularity: correlation of length and popularity, on
    normal scores. bias_mean, bias_sigma: of LED's item bias.
    """

    items: int = 1_000_000
    dim: int = 100
    rank: int = 30
    decay: float = 0.0
    clusters: int = 3_000
    cluster_exponent: float = 0.8
    within: float = 0.35
    ambient: float = 0.05
    norm_sigma: float = 0.35
    popularity_exponent: float = 1.0
    norm_popularity: float = 0.0
    bias_mean: float = 0.0
    bias_sigma: float = 0.0
    seed: int = 7

    @property
    def key(self) -> str:
        """A name for what this draws: equal recipes have equal keys."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def of_size(self, items: int) -> "Recipe":
        """The same at another size: as many items per cluster."""
        return replace(self, items=items, clusters=max(1, round(self.clusters * items / self.items)))


REFERENCE = Recipe()
"""A million items of 100 dimensions, 3,000 clusters in 30 dimensions; graphs find it hard (docs/performance.md)."""


@dataclass(frozen=True)
class Catalogue:
    """A drawn catalogue, row by row.

    vectors: (N, d) float32. biases: (N,) float32. popularity: (N,) int64. by_cluster: (N,) rows, cluster by cluster;
    ends: (C + 1,) where each cluster begins in it, and the end. basis: (rank, d) float32, orthonormal rows.
    """

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    popularity: NDArray[np.int64]
    by_cluster: NDArray[np.int64]
    ends: NDArray[np.int64]
    basis: NDArray[np.float32]

    @property
    def clusters(self) -> NDArray[np.int64]:
        """The cluster of every row (N,)."""
        numbers = np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))
        found = np.empty_like(self.by_cluster)
        found[self.by_cluster] = numbers
        return found

    def histories(self, count: int, lengths: tuple[int, int], seed: int) -> list[NDArray[np.int64]]:
        """Draw rows of users: `lengths` (least, most) items of one to three clusters, large ones more often."""
        rng = np.random.default_rng(seed)
        return list(self._histories(rng, count, lengths))

    def _histories(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Iterator[NDArray[np.int64]]:
        sizes = np.diff(self.ends)
        for _ in range(count):
            own = rng.choice(len(sizes), size=rng.integers(1, 4), p=sizes / sizes.sum())
            chosen = rng.choice(own, size=rng.integers(lengths[0], lengths[1] + 1))
            yield self.by_cluster[self.ends[chosen] + (rng.random(len(chosen)) * sizes[chosen]).astype(np.int64)]


def draw(recipe: Recipe) -> Catalogue:
    """Draw a catalogue; the same recipe draws the same one."""
    rng = np.random.default_rng(recipe.seed)
    basis = np.linalg.qr(rng.normal(size=(recipe.dim, recipe.rank)))[0].T.astype(np.float32)
    scale = (np.arange(1, recipe.rank + 1, dtype=np.float32) ** (-recipe.decay / 2)).astype(np.float32)
    centres = rng.normal(size=(recipe.clusters, recipe.rank)).astype(np.float32)
    sizes = np.arange(1, recipe.clusters + 1) ** -recipe.cluster_exponent
    clusters = rng.choice(recipe.clusters, size=recipe.items, p=sizes / sizes.sum())
    popular = rng.normal(size=recipe.items).astype(np.float32)
    noise = rng.normal(size=recipe.items).astype(np.float32)
    share = recipe.norm_popularity
    norms = np.exp(recipe.norm_sigma * (share * popular + np.sqrt(1 - share**2) * noise)).astype(np.float32)
    vectors = np.empty((recipe.items, recipe.dim), dtype=np.float32)
    for start in range(0, recipe.items, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, recipe.items))
        vectors[chunk] = _directions(rng, recipe, centres[clusters[chunk]], scale, basis) * norms[chunk, None]
    biases = rng.normal(recipe.bias_mean, recipe.bias_sigma, recipe.items).astype(np.float32)
    by_cluster = np.argsort(clusters, kind="stable")
    ends = np.searchsorted(clusters[by_cluster], np.arange(recipe.clusters + 1))
    return Catalogue(vectors, biases, _popularity(popular, recipe), by_cluster, ends, basis)


def _directions(
    rng: np.random.Generator,
    recipe: Recipe,
    centres: NDArray[np.float32],
    scale: NDArray[np.float32],
    basis: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Draw unit vectors (n, d) around centres (n, rank)."""
    latent = centres + np.float32(recipe.within) * rng.standard_normal(centres.shape, dtype=np.float32)
    vectors = (latent * scale) @ basis
    vectors += np.float32(recipe.ambient) * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def _popularity(scores: NDArray[np.float32], recipe: Recipe) -> NDArray[np.int64]:
    """Count interactions by rank of the popularity scores; the least popular items have one."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores)] = np.arange(1, len(scores) + 1)
    counts: NDArray[np.int64] = np.round((ranks / len(scores)) ** -recipe.popularity_exponent).astype(np.int64)
    return counts
