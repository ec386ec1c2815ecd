"""Interaction logs over a drawn catalogue: users who come for one to three items and look at others like them.

A session has an anchor: the next item of a shuffled catalogue, so that every item gets its turn, or a popular one. Its
other items come from the anchor's cluster and clusters near it, popular ones more often; of the few that are looked at
the most alike one is taken. So what occurs together says where items lie, as `loadtest.catalogue` has drawn them.
Users are drawn some at a time, each part from a generator of its own: memory grows with the items only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from loadtest.catalogue import Catalogue

TYPES = ("VIEW", "CART", "PURCHASE")
_TYPE_SHARES = (0.85, 0.1, 0.05)
_USERS = 10_000
_BLOCK = 1_000
_FROM_MS = 1_750_000_000_000
_SPAN_MS = 90 * 86_400_000
_PAUSE_MS = 45_000
_RESTARTS_MS = 3_600_000  # sessions of a user are at least this far apart, so that they can be told from each other


@dataclass(frozen=True)
class LogRecipe:
    """How a log is drawn.

    interactions_per_item: on average, repetitions within a session not counted out. sessions, events: (least, most) of
    a user and of a session. turns: share of sessions whose anchor is an item whose turn it is. near: clusters that a
    session's items come from, with chances that fall as exp(-sharpness * (1 - cosine of centres)). looked_at: items of
    which one is taken. damped: within a cluster an item's chance is its popularity to this power.
    """

    interactions_per_item: float = 12.0
    sessions: tuple[int, int] = (1, 3)
    events: tuple[int, int] = (5, 14)
    turns: float = 0.85
    near: int = 100
    sharpness: float = 8.0
    looked_at: int = 4
    damped: float = 0.5
    seed: int = 11

    def users(self, items: int) -> int:
        """How many users a catalogue of this size needs."""
        mean = sum(self.sessions) * sum(self.events) / 4
        return max(1, ceil(items * self.interactions_per_item / mean))


@dataclass(frozen=True)
class Events:
    """A part of the log, ordered by user and time. users, items, times_ms: (n,) int64; types: (n,) int8 in `TYPES`."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    types: NDArray[np.int8]


class Log:
    """The log that a recipe draws over a catalogue; the same two draw the same one."""

    def __init__(self, catalogue: Catalogue, recipe: LogRecipe) -> None:
        self._recipe, self._by_cluster, self._ends = recipe, catalogue.by_cluster, catalogue.ends
        self.users = recipe.users(len(catalogue.by_cluster))
        self.clusters = catalogue.clusters
        self._latent = _latent(catalogue)
        self._turn = np.random.default_rng(recipe.seed).permutation(len(self._latent))
        self._popular = np.cumsum(catalogue.popularity, dtype=np.float64)
        weights = catalogue.popularity[catalogue.by_cluster] ** recipe.damped
        self._within = np.r_[0.0, np.cumsum(weights)]
        self._near = _near_clusters(self.centres, np.diff(self._within[self._ends]), recipe)

    @cached_property
    def centres(self) -> NDArray[np.float32]:
        """The clusters' mean directions (C, rank), of length 1; zeros for a cluster without items."""
        sums = np.zeros((len(self._ends) - 1, self._latent.shape[1]), dtype=np.float32)
        some = np.diff(self._ends) > 0
        sums[some] = np.add.reduceat(self._latent[self._by_cluster], self._ends[:-1][some])
        return _units(sums)

    def parts(self) -> Iterator[Events]:
        """Draw everybody, 10,000 users at a time."""
        turn = 0
        for number, first in enumerate(range(0, self.users, _USERS)):
            rng = np.random.default_rng([self._recipe.seed, number])
            count = min(_USERS, self.users - first)
            sessions = rng.integers(self._recipe.sessions[0], self._recipe.sessions[1] + 1, count)
            user = np.repeat(np.arange(first, first + count), sessions)
            anchors, turn = self._anchors(rng, len(user), turn)
            yield self._events(rng, user, anchors)

    def _anchors(self, rng: np.random.Generator, count: int, turn: int) -> tuple[NDArray[np.int64], int]:
        """Give each session its anchor, and the number of turns that were taken since the beginning."""
        popular = np.searchsorted(self._popular, rng.random(count) * self._popular[-1], side="right")
        takes_turn = rng.random(count) < self._recipe.turns
        places = turn + np.arange(takes_turn.sum())
        anchors = np.minimum(popular, len(self._turn) - 1).astype(np.int64)
        anchors[takes_turn] = self._turn[places % len(self._turn)]
        return anchors, turn + len(places)

    def _events(self, rng: np.random.Generator, user: NDArray[np.int64], anchors: NDArray[np.int64]) -> Events:
        """Draw what follows each anchor, without an item's repetitions in a session."""
        lengths = rng.integers(self._recipe.events[0], self._recipe.events[1] + 1, len(user))
        session = np.repeat(np.arange(len(user)), lengths)
        starts = np.r_[0, np.cumsum(lengths)[:-1]]
        items = self._alike(rng, anchors[session])
        items[starts] = anchors
        pauses = rng.exponential(_PAUSE_MS, len(session)).astype(np.int64) + 1
        pauses[starts] = 0
        passed = np.cumsum(pauses)
        times = _session_starts(rng, user)[session] + passed - passed[starts][session]
        types = rng.choice(len(TYPES), len(session), p=_TYPE_SHARES).astype(np.int8)
        kept = np.sort(np.unique(session * len(self._latent) + items, return_index=True)[1])
        return Events(user[session[kept]], items[kept], times[kept], types[kept])

    def _alike(self, rng: np.random.Generator, anchors: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw an item like each anchor: (n,)."""
        near, chances = self._near
        places = (chances[self.clusters[anchors]] < rng.random(len(anchors))[:, None]).sum(axis=1)
        clusters = near[self.clusters[anchors], np.minimum(places, near.shape[1] - 1)]
        low, high = self._within[self._ends[clusters]], self._within[self._ends[clusters + 1]]
        drawn = low[:, None] + rng.random((len(anchors), self._recipe.looked_at)) * (high - low)[:, None]
        found = np.searchsorted(self._within, drawn, side="right") - 1
        found = np.clip(found, self._ends[clusters][:, None], self._ends[clusters + 1][:, None] - 1)
        looked_at = self._by_cluster[found]
        alike = np.einsum("nmd,nd->nm", self._latent[looked_at], self._latent[anchors])
        chosen: NDArray[np.int64] = looked_at[np.arange(len(anchors)), alike.argmax(axis=1)]
        return chosen


def _latent(catalogue: Catalogue) -> NDArray[np.float32]:
    """Give items' directions in the catalogue's latent dimensions: (N, rank), of length 1."""
    return _units(catalogue.vectors @ catalogue.basis.T)


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled


def _near_clusters(
    centres: NDArray[np.float32], masses: NDArray[np.float64], recipe: LogRecipe
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give each cluster those that its sessions draw from, itself among them: (C, m), and their chances, summed up."""
    count = min(recipe.near, int((masses > 0).sum()))
    near, chances = [], []
    for start in range(0, len(centres), _BLOCK):
        cosines = centres[start : start + _BLOCK] @ centres.T
        cosines[:, masses == 0] = -np.inf
        own = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        weights = masses[own] * np.exp(recipe.sharpness * (np.take_along_axis(cosines, own, axis=1) - 1))
        near.append(own)
        chances.append(np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1).astype(np.float32))
    return np.concatenate(near), np.concatenate(chances)


def _session_starts(rng: np.random.Generator, user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say when each session begins, (n,) milliseconds since 1970, ascending for every user."""
    order = rng.integers(_SPAN_MS, size=len(user))
    order = order[np.lexsort((order, user))]
    first = np.searchsorted(user, user)
    return _FROM_MS + order + (np.arange(len(user)) - first) * _RESTARTS_MS
