"""Trains the served PDN on training users' timelines (section 4.6), with drawn negatives and stored paths only."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from models.features import FeatureTransform, Transforms
from models.pdn import count_codes, position_codes, triggers_of
from shortlist_training.config_sources import EASE_MOST_ITEMS, PdnSettings
from shortlist_training.errors import DataError
from shortlist_training.histories import HeldOut, Histories, History
from shortlist_training.metrics import SELECTION
from shortlist_training.pdn.serving_candidates import CandidatePairs, Cooccurrence, candidate_pairs, profile_matrix
from shortlist_training.pdn.serving_index import GreedyScorer, path_index
from shortlist_training.pdn.serving_model import ServedPdn, cross_entropy
from shortlist_training.sources.content import ItemContent
from shortlist_training.sources.examples import Cutting, Example, cut, usable
from shortlist_training.sources.people import user_tensors
from shortlist_training.sources.ranking import measured
from shortlist_training.timelines import Rows, incidence
from shortlist_training.train import Epoch
from shortlist_training.two_tower.train import seed_everything


@dataclass(frozen=True)
class Views:
    """fold: (U,) int64 of usable training users. held_out: pairs by the log of all other folds. everybody: by all."""

    histories: Sequence[History]
    fold: Rows
    held_out: Sequence[CandidatePairs]
    everybody: CandidatePairs


@dataclass(frozen=True)
class Batch:
    """B users of one fold, their L triggers and P target items.

    features: (B,) each. triggers, owner, types, counts, positions: (L,). place: (M,) each path's pair of `pairs`; line:
    (M,) its trigger's place in (L,); cell: (M,) the user's place * P + the target's. label, weight: (B, P).
    pairs: triggers and targets (n,) rows, statistics (n, s) float32.
    """

    features: dict[str, Tensor]
    triggers: Tensor
    owner: Tensor
    types: Tensor
    counts: Tensor
    positions: Tensor
    pool: Tensor
    pairs: tuple[Tensor, Tensor, Tensor]
    place: Tensor
    line: Tensor
    cell: Tensor
    label: Tensor
    weight: Tensor


def make_views(
    histories: Histories, content: ItemContent, settings: PdnSettings, seed: int, on_view: Callable[[int], None]
) -> Views:
    """Choose candidate pairs for each fold and for serving. `DataError` if EASE is wanted of too many items."""
    if settings.ease_lambda and histories.items > EASE_MOST_ITEMS:
        message = (
            f"pdn.ease_lambda: EASE needs a dense matrix of items x items, and {histories.items:,} items are more than "
            f"{EASE_MOST_ITEMS:,}; set it to 0"
        )
        raise DataError(message)
    users = usable(histories.training())
    fold = np.random.default_rng(seed).permutation(np.arange(len(users)) % settings.folds).astype(np.int64)
    owned = incidence([np.unique(history.rows) for history in users], histories.items)
    profiles = profile_matrix(content.words, content.category, histories.items)
    rows = np.arange(histories.items)

    def view(part: sp.csr_matrix, number: int) -> CandidatePairs:
        on_view(number)
        scale = owned.shape[0] / max(part.shape[0], 1)
        log = Cooccurrence(part, settings.activity_power, scale, settings.ease_lambda)
        return candidate_pairs(log, profiles, rows, settings.by_log, settings.by_profile)

    held_out = [view(owned[fold != number], number) for number in range(settings.folds)]
    return Views(users, fold, held_out, view(owned, settings.folds))


def train_pdn(
    histories: Histories,
    content: ItemContent,
    transforms: Sequence[FeatureTransform],
    views: Views,
    validation: HeldOut,
    settings: PdnSettings,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> tuple[ServedPdn, list[Epoch]]:
    """Fit by AdamW, the rate falling along a cosine; keep the epoch whose served form ranks validation users best."""
    rng = seed_everything(seed, settings.threads)
    model = ServedPdn(content, transforms, settings)
    optimizers = _optimizers(model, settings)
    schedules = [CosineAnnealingLR(each, settings.epochs, settings.learning_rate / 20) for each in optimizers]
    epochs = [Epoch(0, 0.0, validation_ndcg(model, transforms, views.everybody, validation, settings))]
    on_epoch(epochs[0])
    best, kept = Epoch(0, 0.0, -1.0), copy.deepcopy(model.state_dict())
    for number in range(1, settings.epochs + 1):
        model.train()
        losses = [
            _step(model, optimizers, batch, settings)
            for batch in epoch_batches(views, histories.items, transforms, settings, rng)
        ]
        for schedule in schedules:
            schedule.step()
        model.eval()
        ndcg = validation_ndcg(model, transforms, views.everybody, validation, settings)
        epochs.append(Epoch(number, float(np.mean(losses)), ndcg))
        on_epoch(epochs[-1])
        if ndcg > best.ndcg:
            best, kept = epochs[-1], copy.deepcopy(model.state_dict())
        elif number - best.number >= settings.patience:
            break
    model.load_state_dict(kept)
    return model.eval(), epochs


def validation_ndcg(
    model: ServedPdn,
    transforms: Sequence[FeatureTransform],
    pairs: CandidatePairs,
    validation: HeldOut,
    settings: PdnSettings,
) -> float:
    """Measure the served form."""
    model.eval()
    index = path_index(model, pairs, np.arange(pairs.items), settings.neighbours)
    scorer = GreedyScorer(model, index, validation.known, transforms, settings.max_history, direct=settings.direct)
    found = measured(lambda users: scorer.score(users, settings.triggers), validation)
    return float(found[SELECTION].mean())


def cutting(settings: PdnSettings) -> Cutting:
    """Say how timelines are cut."""
    return Cutting(
        split_by=settings.split_by,
        input_share=settings.input_share,
        max_targets=settings.max_targets,
        max_history=settings.max_history,
        context_dropout=settings.users.context_dropout,
    )


def epoch_batches(
    views: Views, items: int, transforms: Sequence[FeatureTransform], settings: PdnSettings, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield every user once, in batches of one fold, in random order."""
    made, how = Transforms(transforms), cutting(settings)
    groups = []
    for number in range(len(views.held_out)):
        members = rng.permutation(np.flatnonzero(views.fold == number))
        size = settings.batch_users
        groups += [(number, members[start : start + size]) for start in range(0, len(members), size)]
    for group in rng.permutation(len(groups)):
        number, users = groups[group]
        cuts = [(int(user), cut(views.histories[user], how, rng)) for user in users]
        found = [(user, example) for user, example in cuts if example is not None]
        if found:
            drawn = rng.choice(items, size=min(settings.pool, items), replace=False)
            yield sample(views, views.held_out[number], found, drawn, made)


def sample(
    views: Views, pairs: CandidatePairs, found: Sequence[tuple[int, Example]], drawn: Rows, transforms: Transforms
) -> Batch:
    """Lay a batch out: each user is asked for the own targets, and for the drawn items that the user has not."""
    examples = [example for _, example in found]
    pool = np.unique(np.concatenate([drawn, *(example.targets for example in examples)]))
    label = np.zeros((len(examples), len(pool)), dtype=np.bool_)
    weight = np.tile(np.isin(pool, drawn).astype(np.float32), (len(examples), 1))
    for row, (user, example) in enumerate(found):
        weight[row, _places(pool, views.histories[user].rows)] = 0.0
        wanted = np.searchsorted(pool, example.targets)
        weight[row] *= len(wanted) / max(float(weight[row].sum()), 1.0)
        label[row, wanted], weight[row, wanted] = True, 1.0
    triggers = [triggers_of(example.known.rows, example.known.types, len(example.known) or 1) for example in examples]
    rows = np.concatenate([one.rows for one in triggers])
    owner = np.repeat(np.arange(len(triggers)), [len(one.rows) for one in triggers])
    place, line, column, used = _paths(pairs, rows, owner, pool, weight > 0)
    return Batch(
        features=user_tensors(transforms, [example.context for example in examples]),
        triggers=torch.from_numpy(rows),
        owner=torch.from_numpy(owner),
        types=torch.from_numpy(np.concatenate([one.types for one in triggers])),
        counts=torch.from_numpy(count_codes(np.concatenate([one.counts for one in triggers]))),
        positions=torch.from_numpy(position_codes(np.concatenate([one.positions for one in triggers]))),
        pool=torch.from_numpy(pool),
        pairs=(
            torch.from_numpy(pairs.triggers_at(used)),
            torch.from_numpy(pairs.targets[used].astype(np.int64)),
            torch.from_numpy(pairs.statistics[used].astype(np.float32)),
        ),
        place=torch.from_numpy(place),
        line=torch.from_numpy(line),
        cell=torch.from_numpy(owner[line] * len(pool) + column),
        label=torch.from_numpy(label),
        weight=torch.from_numpy(weight),
    )


def _places(pool: Rows, rows: Rows) -> Rows:
    """Find the rows that are in an ascending pool: their places there."""
    at = np.minimum(np.searchsorted(pool, rows), len(pool) - 1)
    found: Rows = at[pool[at] == rows]
    return found


def _paths(
    pairs: CandidatePairs, rows: Rows, owner: Rows, pool: Rows, asked: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
) -> tuple[Rows, Rows, Rows, Rows]:
    """Find the paths from (L,) triggers to the pool's items that their users are asked for.

    Gives for each path its pair (a place in the last array), its trigger's place and its column; and the pairs in use.
    """
    distinct, which = np.unique(rows, return_inverse=True)
    block: sp.csr_matrix = pairs.places[distinct][:, pool][which]
    line = np.repeat(np.arange(len(rows)), np.diff(block.indptr)).astype(np.int64)
    column = block.indices.astype(np.int64)
    kept = asked[owner[line], column]
    used, place = np.unique(block.data[kept].astype(np.int64) - 1, return_inverse=True)
    return place.astype(np.int64), line[kept], column[kept], used


def scores(model: ServedPdn, batch: Batch, *, direct: bool) -> Tensor:
    """Compute y of equation 12, with the bias net, for all users and pool items of a batch: (B, P)."""
    features = batch.features
    distinct, which = torch.unique(batch.triggers, return_inverse=True)
    shares = model.trigger_vectors(distinct).index_select(0, which)
    weight = model.trignet(shares, batch.owner, batch.types, batch.counts, batch.positions, *features.values())
    related = model.similarity(*batch.pairs)
    paths = functional.softplus(related.index_select(0, batch.place) + weight.index_select(0, batch.line))
    users, items = batch.label.shape
    total = torch.zeros(users * items).index_add(0, batch.cell, paths).view(users, items)
    total = total + model.bias_weight(features)
    if direct:
        people = model.direct_user(*features.values())
        total = total + functional.softplus(people @ model.item_vectors(batch.pool).T)
    return total


def _optimizers(model: ServedPdn, settings: PdnSettings) -> list[torch.optim.Optimizer]:
    """Give AdamW, and for tables of sparse gradients Adam over the rows in use, without the decay of all others."""
    sparse = [table.weight for table in model.modules() if isinstance(table, nn.Embedding) and table.sparse]
    others = [each for each in model.parameters() if all(each is not table for table in sparse)]
    dense = torch.optim.AdamW(others, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return [dense, torch.optim.SparseAdam(sparse, lr=settings.learning_rate)] if sparse else [dense]


def _step(model: ServedPdn, optimizers: Sequence[torch.optim.Optimizer], batch: Batch, settings: PdnSettings) -> float:
    loss = cross_entropy(scores(model, batch, direct=settings.direct), batch.label, batch.weight)
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
    for optimizer in optimizers:
        optimizer.step()
    return float(loss.item())
