"""Recall of a running peer, from its replies."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadtest.drive import Target, ask_each
from loadtest.peers.job import Job, K, RowsById
from loadtest.peers.peer import Serving, Wire

_IN_FLIGHT = 4
# quantised vectors give approximate scores
_SCORE_TOLERANCE = 0.05


class WrongAnswerError(Exception):
    """A peer that does another job: calls fail, nothing or items twice come back, or scores are no inner product."""


def recall_of(job: Job, wire: Wire, serving: Serving, users: Sequence[int]) -> float:
    """Ask for those users; the mean share of the exact best 100 that comes back. WrongAnswerError for other answers."""
    target = Target(serving.address, wire.method, wire.encode(job, users), deadline_s=60.0)
    replies = ask_each(target, in_flight=_IN_FLIGHT)
    failed = [status for status, _ in replies if status != "OK"]
    if failed:
        message = f"{len(failed)} of {len(replies)} calls failed, the first with {failed[0]}"
        raise WrongAnswerError(message)
    rows_of = RowsById(job.item_ids)
    answered = zip(users, *wire.decode([reply for _, reply in replies]), strict=True)
    return float(np.mean([_share(job, rows_of, user, ids, scores) for user, ids, scores in answered]))


def _share(job: Job, rows_of: RowsById, user: int, ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> float:
    if not len(ids):
        message = f"user {user}: expected items, found none"
        raise WrongAnswerError(message)
    rows = rows_of.known(ids)
    if len(rows) > K or len(np.unique(rows)) < len(ids):
        message = f"user {user}: expected at most {K} items of the catalogue, each once, found {ids.tolist()}"
        raise WrongAnswerError(message)
    exact = job.vectors[rows] @ job.users[user]
    allowed = _SCORE_TOLERANCE * np.abs(exact).max(initial=1.0)
    worst = float(np.abs(exact - scores).max(initial=0.0))
    if worst > allowed:
        message = f"user {user}: a score is {worst:.4f} off the inner product, expected at most {allowed:.4f}"
        raise WrongAnswerError(message)
    return float((exact >= job.bars[user]).sum()) / K
