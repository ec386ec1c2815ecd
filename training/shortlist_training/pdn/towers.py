"""The two-tower models that PDN is compared with (section 6.1.2): DSSM and YouTube DNN, on the same fields."""

import copy
from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shortlist_training.leave_one_out import Cases, Scorer, ndcg, ranks
from shortlist_training.pdn.features import Profiles, activity_codes, popularity_codes
from shortlist_training.pdn.model import ItemField, PdnConfig, UserField, to_tensor
from shortlist_training.timelines import Rows


class TowerConfig(msgspec.Struct, frozen=True):
    """Sizes and fitting of a two-tower model.

    kind: "dssm" knows the user's fields only, "youtube" also the mean of the history's item embeddings. A step takes
    `batch_users` and `pool` items; its loss is the softmax over the pool, for every positive in it (sampled softmax).
    input_share: range of the share of a history that is input in a step; the rest are the positives.
    """

    kind: Literal["dssm", "youtube"]
    id_dim: int = 64
    field_dim: int = 8
    hidden: int = 128
    dim: int = 64
    epochs: int = 60
    patience: int = 8
    batch_users: int = 128
    pool: int = 1024
    input_share: tuple[float, float] = (0.5, 0.9)
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2


class TwoTower(nn.Module):
    """p_u = MLP(E(z_u), mean of E(x_j)), q_i = MLP(E(x_i)); the score is their inner product."""

    def __init__(self, profiles: Profiles, config: TowerConfig) -> None:
        super().__init__()
        sizes = PdnConfig(id_dim=config.id_dim, field_dim=config.field_dim)
        self.users, self.items = UserField(profiles, sizes), ItemField(profiles, sizes)
        self.with_history = config.kind == "youtube"
        width = self.users.width + (self.items.width if self.with_history else 0)
        self.user_tower = _tower(width, config)
        self.item_tower = _tower(self.items.width, config)

    def forward(self, users: Tensor, activity: Tensor, history: Tensor, embedded: Tensor) -> Tensor:
        """Represent (B,) users with a dense (B, I) history and all items' embeddings (I, d_i): (B, k)."""
        parts = [self.users(users, activity)]
        if self.with_history:
            parts.append(history @ embedded / history.sum(1, keepdim=True).clamp_min(1.0))
        represented: Tensor = self.user_tower(torch.cat(parts, dim=1))
        return represented


def train_towers(
    cases: Cases, profiles: Profiles, config: TowerConfig, seed: int, on_epoch: Callable[[int, float], None]
) -> TwoTower:
    """Fit to the histories of `cases`, whose targets choose the epoch by NDCG@10 among all items."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = TwoTower(profiles, config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    best, best_ndcg, best_epoch = model, -1.0, 0
    for number in range(1, config.epochs + 1):
        for users in np.array_split(rng.permutation(len(cases.targets)), len(cases.targets) // config.batch_users + 1):
            loss = _loss(model, cases, users, config, rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        found = float(ndcg(ranks(tower_scorer(model, cases.history), cases).all, 10).mean())
        on_epoch(number, found)
        if found > best_ndcg:
            best, best_ndcg, best_epoch = copy.deepcopy(model), found, number
        elif number - best_epoch >= config.patience:
            break
    return best


def tower_scorer(model: TwoTower, history: sp.csr_matrix) -> Scorer:
    """Score all items by p_u q_i."""
    activity = activity_codes(history)
    with torch.no_grad():
        embedded = model.items(torch.arange(history.shape[1]), to_tensor(popularity_codes(history)))
        targets = model.item_tower(embedded)

    def score(users: Rows) -> NDArray[np.float32]:
        with torch.no_grad():
            known = torch.from_numpy(history[users].toarray())
            people = model(to_tensor(users), to_tensor(activity[users]), known, embedded)
            return np.asarray((people @ targets.T).numpy())

    return score


def item_similarity(model: TwoTower, history: sp.csr_matrix) -> NDArray[np.float32]:
    """Cosines of the items' representations less their mean, "item to item" of table 2: (I, I), 0 on the diagonal.

    Inner products would rank by length: items that no user likes lie far out, on the other side of all users.
    """
    with torch.no_grad():
        items = torch.arange(history.shape[1])
        found = model.item_tower(model.items(items, to_tensor(popularity_codes(history))))
    unit = functional.normalize(found - found.mean(0))
    related = np.asarray((unit @ unit.T).numpy())
    np.fill_diagonal(related, 0.0)
    return related


def _loss(model: TwoTower, cases: Cases, users: Rows, config: TowerConfig, rng: np.random.Generator) -> Tensor:
    history = cases.history
    known = history[users].toarray()
    share = rng.uniform(*config.input_share, size=(len(users), 1))
    inputs = known * (rng.random(known.shape) < share)
    wanted = known - inputs if model.with_history else known
    pool = np.sort(rng.choice(known.shape[1], size=min(config.pool, known.shape[1]), replace=False))
    hidden = (inputs if model.with_history else np.zeros_like(known))[:, pool] > 0
    hidden |= cases.targets[users][:, None] == pool
    embedded = model.items(torch.arange(known.shape[1]), to_tensor(popularity_codes(history)))
    activity = to_tensor(activity_codes(history)[users])
    people = model(to_tensor(users), activity, torch.from_numpy(inputs.astype(np.float32)), embedded)
    logits = people @ model.item_tower(embedded[to_tensor(pool)]).T
    chance = functional.log_softmax(logits.masked_fill(torch.from_numpy(hidden), -1e9), dim=1)
    label = torch.from_numpy((wanted[:, pool] * ~hidden).astype(np.float32))
    return -(chance * label / label.sum(1, keepdim=True).clamp_min(1.0)).sum(1).mean()


def _tower(width: int, config: TowerConfig) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, config.hidden), nn.LeakyReLU(), nn.Linear(config.hidden, config.dim))
