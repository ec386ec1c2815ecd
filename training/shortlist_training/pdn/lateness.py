"""When in a history an item is usually taken, from a log without times: the behaviour field a_uj, and a selection bias.

People take what everybody knows first. Whose history is longer has had the time for the rest, so the rate at which an
item's share of users grows with the length of their histories tells how early it comes: of the items that a user with
n items has, the newest is distributed as d E[x_i | n] / d n, a random one as E[x_i | n] / n. The quotient is the
elasticity d log E[x_i | n] / d log n, "lateness" here: below 1 for items that are taken early, above for late ones.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.pdn.features import COUNT_CODES, GROWTH, Behaviour, activity_codes

LATE_CODES = 24
"""Classes of lateness, 1 to LATE_CODES; 0 is for what is not known."""

WIDTH = 1.5
"""Standard deviation of the kernel over log n: nearby lengths of history are measured together."""

PRIOR_USERS = 30.0
"""So many users of an item that is neither early nor late are added to each item's."""

_LEAST, _MOST = float(np.log(0.1)), float(np.log(5.0))


def lateness(history: sp.csr_matrix) -> NDArray[np.float32]:
    """Measure the logarithm of each item's lateness per class of activity: (COUNT_CODES, I) float32.

    history: (U, I) incidence of some users. A weighted regression of x_i on log n around each class, shrunk to 0 and
    cut to the range that the classes cover.
    """
    length = np.log(np.maximum(np.diff(history.indptr), 1))
    centre = (np.maximum(np.arange(COUNT_CODES), 1) - 0.5) * np.log(GROWTH)
    kernel = np.exp(-0.5 * ((length - centre[:, None]) / WIDTH) ** 2) + 1e-12
    users = kernel.sum(1, keepdims=True)
    kernel /= users
    away = length - (kernel @ length)[:, None]
    spread = np.maximum((kernel * away**2).sum(1, keepdims=True), 1e-6)
    share, slope = ((history.T @ weight.T).T for weight in (kernel, kernel * away / spread))
    usual = np.asarray(history.mean(axis=0), dtype=np.float64) + 1e-9
    prior = usual * (share.sum(1, keepdims=True) / usual.sum()) * PRIOR_USERS / users
    elasticity = (slope + prior) / (share + prior)
    return np.asarray(np.log(np.clip(elasticity, np.exp(_LEAST), np.exp(_MOST))), dtype=np.float32)


def late_codes(found: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut log lateness into classes of one width, 1 to LATE_CODES."""
    place = (found - _LEAST) * (LATE_CODES / (_MOST - _LEAST))
    return np.asarray(np.clip(place.astype(np.int64), 0, LATE_CODES - 1) + 1, dtype=np.uint8)


def late_values() -> NDArray[np.float32]:
    """Give the log lateness in the middle of each class, 0 where it is not known: (1 + LATE_CODES,) float32."""
    middle = _LEAST + (np.arange(LATE_CODES) + 0.5) * (_MOST - _LEAST) / LATE_CODES
    return np.concatenate([[0.0], middle]).astype(np.float32)


def weighed(history: sp.csr_matrix, late: NDArray[np.uint8], behaviour: Behaviour, power: float) -> sp.csr_matrix:
    """Weigh each entry of a history by lateness^power; those of users who are back stay 1. late: a view's codes."""
    owner = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
    known = np.where(behaviour.returned[owner], 0, late[activity_codes(history)[owner], history.indices])
    return sp.csr_matrix((np.exp(power * late_values()[known]), history.indices, history.indptr), shape=history.shape)
