"""`evaluate --serve`: test users' candidates from a running server, beside what the models rank offline."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shortlist_training.assemble import served_items
from shortlist_training.errors import ServerError
from shortlist_training.evaluate import scorers
from shortlist_training.evaluation import top_rows
from shortlist_training.histories import HeldOut
from shortlist_training.metrics import BATCH_USERS, interval
from shortlist_training.records import Score, ServedEvaluation, ServedScore
from shortlist_training.served import NOT_FOUND, ServedRetrieval
from shortlist_training.sources.ranking import UserScorer
from shortlist_training.steps.evaluating import learned_models
from shortlist_training.steps.learning import Ingested, Progress
from shortlist_training.timelines import Rows, incidence
from shortlist_training.workspace import EVALUATE, Workspace, needs

K = 100
RECALL_AT = (20, 50, 100)
LENGTHS = (0, 1, 2, 5, 10, 20)
LONG = 20
FUSED = "fused"


@dataclass(frozen=True)
class _Users:
    """Test users as a country's server sees them: `held_out` has only items that their country serves.

    served: (U, I) bool, the items of each user's country.
    """

    held_out: HeldOut
    served: NDArray[np.bool_]


def served_step(work: Workspace, address: str, progress: Progress) -> ServedEvaluation:
    """Measure every source and the default profile through the server at `address`; write served.json.

    `ServerError` if it does not serve a bundle of this project.
    """
    for need in needs(EVALUATE, work.loaded.project.sources()):
        work.require(need)
    ingested = Ingested(work)
    project = work.loaded.project
    items = ingested.catalogue.take(ingested.vocabulary)
    server = ServedRetrieval(address, items.item_ids)
    serving = server.serving()
    if serving.bundle != project.name:
        message = f"expected the server at {address} to serve {project.name}, it serves {serving.bundle}"
        raise ServerError(message)
    users = _users(ingested)
    learned = learned_models(ingested)
    counts = ingested.histories.training_counts().astype(np.float32)
    offline = scorers(counts, learned, None, users.held_out)
    names = [name for name in serving.sources if name in offline]
    scores: dict[str, ServedScore] = {}
    lengths: dict[str, dict[str, Score]] = {}
    told = _told(users.held_out)
    for done, name in enumerate([*names, FUSED]):
        progress(f"asking for {name}", done, len(names) + 1)
        only = None if name == FUSED else name
        ranked = server.rank(users.held_out.known, K, names, only)
        expected = None if only is None else recalls(_offline(offline[name], users), users.held_out.targets)
        found = recalls(ranked, users.held_out.targets)
        scores[name] = _score(found, expected, serving.recall.get(name, 1.0), project.evaluate.bootstrap, project.seed)
        lengths[name] = {}
        for length, some in told.items():
            found = recalls(server.rank(some.known, K, names, only), some.targets)
            lengths[name][length] = _mean(found[K], project.evaluate.bootstrap, project.seed)
    sizes = {length: len(some.known) for length, some in told.items()}
    evaluation = ServedEvaluation(serving.bundle, serving.version, len(users.held_out.known), scores, lengths, sizes)
    work.save_json("served.json", evaluation)
    return evaluation


def _users(ingested: Ingested) -> _Users:
    """Leave out of test users' inputs what their country does not serve; targets stay as they are."""
    test = ingested.held_out("test")
    size = test.inputs.shape[1]
    by_country = {
        code: served_items(ingested.log, ingested.vocabulary, ingested.work.loaded.project.publish, place)
        for place, code in enumerate(ingested.log.countries)
    }
    served: NDArray[np.bool_] = np.zeros((len(test.known), size), dtype=np.bool_)
    for user, history in enumerate(test.known):
        served[user, by_country[history.country]] = True
    asks: NDArray[np.bool_] = np.asarray(served.any(axis=1))
    known = [history.take(served[user, history.rows]) for user, history in enumerate(test.known) if asks[user]]
    inputs = incidence([np.unique(history.rows) for history in known], size)
    return _Users(HeldOut(known, inputs, test.targets[asks]), served[asks])


def _offline(score: UserScorer, users: _Users) -> Rows:
    """Rank what each user's country serves by the model's own scores: (U, K), `NOT_FOUND` where there is no more."""
    parts = []
    for start in range(0, len(users.served), BATCH_USERS):
        part = np.arange(start, min(start + BATCH_USERS, len(users.served)))
        scores = np.where(users.served[part], score(part), np.float32(-np.inf))
        ranked = top_rows(scores, users.held_out.inputs[part], K)
        given = np.asarray(users.held_out.inputs[part][np.arange(len(part))[:, None], ranked].todense()) > 0
        found = (np.take_along_axis(scores, ranked, axis=1) > -np.inf) & ~given
        parts.append(np.where(found, ranked, NOT_FOUND))
    return np.concatenate(parts)


def recalls(ranked: Rows, targets: sp.csr_matrix) -> Mapping[int, NDArray[np.float64]]:
    """Give each user's recall@k, hits / min(k, targets), for each k: (U,). `NOT_FOUND` is never a hit."""
    with_nothing = sp.hstack([targets, sp.csr_matrix((targets.shape[0], 1), dtype=targets.dtype)], format="csr")
    users = np.arange(len(ranked))[:, None]
    places = np.where(ranked == NOT_FOUND, targets.shape[1], ranked)
    hits = np.asarray(with_nothing[users, places].todense()) > 0
    wanted = np.diff(targets.indptr)
    return {k: hits[:, :k].sum(axis=1) / np.minimum(wanted, k) for k in RECALL_AT}


def _score(
    found: Mapping[int, NDArray[np.float64]],
    expected: Mapping[int, NDArray[np.float64]] | None,
    index_recall: float,
    samples: int,
    seed: int,
) -> ServedScore:
    served = {f"recall@{k}": _mean(one, samples, seed) for k, one in found.items()}
    offline = {} if expected is None else {f"recall@{k}": float(one.mean()) for k, one in expected.items()}
    return ServedScore(served, offline, index_recall)


def _mean(values: NDArray[np.float64], samples: int, seed: int) -> Score:
    return Score(float(values.mean()), *interval(values, samples, seed))


def _told(users: HeldOut) -> dict[str, HeldOut]:
    """Shorten histories to their newest n interactions, by n; "20+" are the users who have as many, with all of them.

    Left out where nobody has.
    """
    found = {
        str(length): HeldOut([history.recent(length) for history in users.known], users.inputs, users.targets)
        for length in LENGTHS
    }
    long = np.flatnonzero([len(history) >= LONG for history in users.known])
    if len(long):
        known = [users.known[int(user)] for user in long]
        found[f"{LONG}+"] = HeldOut(known, users.inputs[long], users.targets[long])
    return found
