"""Recall@20 of groups: users by how much is known of them, targets by how popular they are."""

import numpy as np
from numpy.typing import NDArray

from shortlist_training.histories import HeldOut
from shortlist_training.metrics import DECILES, RECALL_AT, deciles
from shortlist_training.timelines import Rows

K = RECALL_AT[0]
LENGTHS = ((1, 4), (5, 9), (10, 19), (20, 49), (50, None))


def length_groups() -> list[str]:
    """Name the groups of users by input items."""
    return [f"{low}+" if high is None else f"{low}-{high}" for low, high in LENGTHS]


def decile_groups() -> list[str]:
    """Name the groups of targets; 1 is the least popular tenth of the items."""
    return [str(decile) for decile in range(1, DECILES + 1)]


def by_history(ranked: Rows, held_out: HeldOut) -> dict[str, float]:
    """Average Recall@20, hits / min(20, targets), over the users of each group; groups without users are left out."""
    recall = _hits(ranked, held_out).sum(axis=1) / np.minimum(np.diff(held_out.targets.indptr), K)
    group = _group_of(held_out)
    return {name: float(recall[group == name].mean()) for name in length_groups() if (group == name).any()}


def recall_of_strangers(ranked: Rows, held_out: HeldOut) -> float:
    """Average Recall@20 over all users, whatever is known of them."""
    recall = _hits(ranked, held_out).sum(axis=1) / np.minimum(np.diff(held_out.targets.indptr), K)
    return float(recall.mean())


def by_popularity(ranked: Rows, held_out: HeldOut, counts: NDArray[np.float32]) -> dict[str, float]:
    """Compute which part of each decile's targets is in their users' top 20; deciles without targets are left out."""
    decile = deciles(counts)
    wanted = np.bincount(decile[held_out.targets.indices], minlength=DECILES)
    found = np.bincount(decile[ranked[:, :K][_hits(ranked, held_out)]], minlength=DECILES)
    return {name: float(found[at] / wanted[at]) for at, name in enumerate(decile_groups()) if wanted[at]}


def group_sizes(held_out: HeldOut, counts: NDArray[np.float32]) -> dict[str, int]:
    """Count the users of each length ("length 1-4") and the targets of each decile ("decile 1")."""
    group = _group_of(held_out)
    users = {f"length {name}": int((group == name).sum()) for name in length_groups()}
    wanted = np.bincount(deciles(counts)[held_out.targets.indices], minlength=DECILES)
    return {**users, **{f"decile {name}": int(wanted[at]) for at, name in enumerate(decile_groups())}}


def _hits(ranked: Rows, held_out: HeldOut) -> NDArray[np.bool_]:
    users = np.arange(len(ranked))[:, None]
    return np.asarray(held_out.targets[users, ranked[:, :K]].todense()) > 0


def _group_of(held_out: HeldOut) -> NDArray[np.str_]:
    lows = np.array([low for low, _ in LENGTHS])
    place = np.searchsorted(lows, np.diff(held_out.inputs.indptr), side="right") - 1
    names: NDArray[np.str_] = np.array(length_groups())[place]
    return names
