"""How close serving must come to training's own answers (M20)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.errors import GoldenMismatch

TOLERANCE = 1e-4


def check_encoded(where: str, encoder: str, found: NDArray[np.float32], expected: Sequence[float]) -> None:
    """Compare an encoder's output with training's: same length, within the tolerance of the largest component."""
    wanted = np.array(expected, dtype=np.float32)
    if found.shape != wanted.shape:
        message = f"{where}: expected {len(wanted)} numbers of encoder {encoder}, it gives {len(found)}"
        raise GoldenMismatch(message)
    difference = float(np.abs(found - wanted).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0.0))):
        message = f"{where}: what encoder {encoder} gives differs from training's by {difference:.2g}"
        raise GoldenMismatch(message)


def check_scores(where: str, item_ids: Sequence[int], found: NDArray[np.float32], expected: Sequence[float]) -> None:
    """Compare what the expected items (n,) score here with what they scored in training."""
    wanted = np.array(expected, dtype=np.float32)
    if not len(wanted):
        return
    differences = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))
    worst = int(np.argmax(differences))
    if not differences[worst] <= TOLERANCE:
        message = f"{where}: item {item_ids[worst]} should score {wanted[worst]:.6g}, scores {found[worst]:.6g}"
        raise GoldenMismatch(message)


def share_found(
    where: str,
    expected: Sequence[int],
    scores: Sequence[float],
    k: int,
    found: NDArray[np.uint64],
    found_scores: NDArray[np.float32],
) -> float:
    """Measure the share of the expected items among the `found` (at most k); ties with the last expected one count.

    No other item may score more than the last expected one, and none may be found at all where fewer than k are
    expected.
    """
    full = len(scores) == k
    last = scores[-1] if full else -np.inf
    margin = TOLERANCE * max(1.0, abs(last)) if full else 0.0
    surplus = (found_scores > last + margin) & ~np.isin(found, np.array(expected, dtype=np.uint64))
    if surplus.any():
        first = int(np.argmax(surplus))
        limit = f"more than the {last:.6g} of the last expected item" if full else "where no more are expected"
        message = f"{where}: item {found[first]} scores {found_scores[first]:.6g}, {limit}, but is not expected"
        raise GoldenMismatch(message)
    if not len(expected):
        return 1.0
    return float((found_scores >= last - margin).sum()) / len(expected)


def check_share(where: str, shares: Sequence[float], target: float) -> None:
    """Refuse if fewer than `target` of the expected items were found on average."""
    if (share := float(np.mean(shares))) < target:
        message = f"{where}: expected {target} of the golden items on average, found {share:.3f}"
        raise GoldenMismatch(message)
