"""Brings equal rows together, for adding up or choosing among what was found for one row in several ways."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLACE_BITS = 32
_PLACE_MASK = (1 << _PLACE_BITS) - 1
_LEAST_PARTS, _LEAST_SIZE = 256, 4


def grouped(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order (n,) rows so that equal ones stand together; rows below 0 are left out.

    Gives the places of the rest (p,), by row and then by place, and where each different row begins in them (c,).
    """
    # a row and its place in one word: numpy sorts words several times as fast as it finds an order
    words = np.sort((rows.astype(np.int64) << _PLACE_BITS) | np.arange(len(rows)))
    words = words[np.searchsorted(words, 0) :]
    ordered = words >> _PLACE_BITS
    begins = np.ones(len(words), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return words & _PLACE_MASK, np.flatnonzero(begins)


def best_places(scores: NDArray[np.float32], k: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Find the places of the min(k, n) largest of (n,) scores, best first; equal ones by lower place, or by lower row.

    rows: (n,) different ones, where places are not in their order.
    """
    if k < len(scores):
        places = (scores >= _reached(scores, k)).nonzero()[0]
        near = scores[places]
        # all that tie with the k-th stay in, or the lower one would not be sure to win
        places = places[near >= -np.partition(-near, k - 1)[k - 1]]
    else:
        places = np.arange(len(scores))
    if rows is not None:
        places = places[np.lexsort((rows[places], -scores[places]))]
        return places[:k]
    return places[np.argsort(-scores[places], kind="stable")[:k]]


def _reached(scores: NDArray[np.float32], k: int) -> np.float32:
    """A score that at least k of (n,) reach, and not many more: the k-th largest of the maxima of parts.

    To find the k-th largest itself costs several times as much as these maxima.
    """
    parts = max(2 * k, _LEAST_PARTS)
    size = len(scores) // parts
    if size < _LEAST_SIZE:
        return np.float32(-np.inf)
    maxima = np.fmax.reduce(scores[: parts * size].reshape(size, parts), axis=0)
    place = parts - max(k, 1)
    return np.partition(maxima, place)[place]  # type: ignore[no-any-return]
