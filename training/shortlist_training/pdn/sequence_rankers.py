"""The attention models of table 2: DIN (target attention, for ranking only) and BST (self-attention, two towers).

The log has no order, so BST has no positions: self-attention over a set, then the mean, where the paper's model reads
a sequence. Both see the same fields as PDN but no statistics of pairs.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shortlist_training.leave_one_out import Cases, PairScorer, Scorer, ndcg, sampled_ranks
from shortlist_training.pdn.features import Profiles, activity_codes, popularity_codes
from shortlist_training.pdn.model import NO_LOGIT, ItemField, PdnConfig, UserField, to_tensor
from shortlist_training.timelines import Rows

LEAST_RATE = 0.05


class RankerConfig(msgspec.Struct, frozen=True):
    """Sizes and fitting.

    A step takes `batch_users`; of each, up to `asked` items (half of the history at most) are to be told from
    `negatives` uniform items that the user does not have, by up to `most_history` of the items that are left. An epoch
    is `passes` over the users. served_history: of longer histories so many random items are read at evaluation. The
    learning rate falls to a twentieth along a cosine over `epochs`.
    """

    kind: Literal["din", "bst"]
    id_dim: int = 32
    field_dim: int = 8
    dim: int = 32
    hidden: int = 8
    asked: int = 8
    negatives: int = 24
    most_history: int = 50
    served_history: int = 100
    batch_users: int = 32
    passes: int = 2
    epochs: int = 36
    patience: int = 6
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Read:
    """Some users as a ranker reads them.

    users, activity: (B,). history: (B, L) item rows. known: (B, L) float32, 1, or 0 where history is padding.
    """

    users: Tensor
    activity: Tensor
    history: Tensor
    known: Tensor


class Ranker(nn.Module):
    """Scores (B, P) candidates of users that are `Read`."""

    popularity: Tensor

    def __init__(self, profiles: Profiles, popularity: Rows, config: RankerConfig) -> None:
        super().__init__()
        sizes = PdnConfig(id_dim=config.id_dim, field_dim=config.field_dim)
        self.register_buffer("popularity", to_tensor(popularity))
        self.users, self.items = UserField(profiles, sizes), ItemField(profiles, sizes)
        self.narrow = nn.Linear(self.items.width, config.dim)

    def embed(self, items: Tensor) -> Tensor:
        """Embed item rows of any shape: (..., dim)."""
        found: Tensor = self.narrow(self.items(items.flatten(), self.popularity))
        return found.view(*items.shape, -1)


class Din(Ranker):
    """DIN (Zhou et al. 2018): an activation unit weighs each item of the history for each candidate.

    a_ji = v leaky(W_1 e_j + W_2 e_i + W_3 (e_j * e_i)) without softmax, as in DIN; the weighted sum is divided by the
    history's length, as lengths differ a hundredfold. W_3 (e_j * e_i) is one product of e_j with W_3 scaled by e_i.
    """

    def __init__(self, profiles: Profiles, popularity: Rows, config: RankerConfig) -> None:
        super().__init__(profiles, popularity, config)
        self.trigger = nn.Linear(config.dim, config.hidden)
        self.target = nn.Linear(config.dim, config.hidden, bias=False)
        self.both = nn.Parameter(torch.randn(config.hidden, config.dim) / config.dim**0.5)
        self.unit = nn.Linear(config.hidden, 1)
        width = self.users.width + 3 * config.dim
        self.out = nn.Sequential(nn.Linear(width, 2 * config.dim), nn.LeakyReLU(), nn.Linear(2 * config.dim, 1))

    def forward(self, read: Read, candidates: Tensor) -> Tensor:
        """Score (B, P) candidates, each with a user representation of its own."""
        known, asked = self.embed(read.history), self.embed(candidates)
        interest = self.attention(known, asked) * read.known[:, None, :] / read.known.sum(1)[:, None, None]
        drawn = interest @ known
        people = self.users(read.users, read.activity)[:, None, :].expand(-1, candidates.shape[1], -1)
        score: Tensor = self.out(torch.cat([people, drawn, asked, drawn * asked], dim=2)).squeeze(-1)
        return score

    def attention(self, known: Tensor, asked: Tensor) -> Tensor:
        """Weigh (B, L, d) items for (B, P, d) candidates: (B, P, L)."""
        batch, wanted, _ = asked.shape
        product = (asked[:, :, None, :] * self.both).flatten(1, 2) @ known.transpose(1, 2)
        first = product.view(batch, wanted, len(self.both), -1)
        first = first + self.target(asked)[..., None] + self.trigger(known).transpose(1, 2)[:, None]
        return torch.einsum("bphl,h->bpl", functional.leaky_relu(first), self.unit.weight[0]) + self.unit.bias


class Bst(Ranker):
    """BST as the paper compares it: a transformer layer over the history, and the towers' inner product for an MLP."""

    def __init__(self, profiles: Profiles, popularity: Rows, config: RankerConfig) -> None:
        super().__init__(profiles, popularity, config)
        self.layer = nn.TransformerEncoderLayer(config.dim, 2, 2 * config.dim, dropout=0.0, batch_first=True)
        wide = 2 * config.dim
        self.user_tower = nn.Sequential(
            nn.Linear(self.users.width + config.dim, wide), nn.LeakyReLU(), nn.Linear(wide, wide)
        )
        self.item_tower = nn.Sequential(nn.Linear(config.dim, wide), nn.LeakyReLU(), nn.Linear(wide, wide))

    def forward(self, read: Read, candidates: Tensor) -> Tensor:
        """Score (B, P) candidates by p_u q_i."""
        score: Tensor = (self.item_tower(self.embed(candidates)) @ self.user(read)[:, :, None]).squeeze(-1)
        return score

    def user(self, read: Read) -> Tensor:
        """Give p_u: (B, k)."""
        encoded = self.layer(self.embed(read.history), src_key_padding_mask=read.known == 0)
        mean = (encoded * read.known[:, :, None]).sum(1) / read.known.sum(1, keepdim=True)
        represented: Tensor = self.user_tower(torch.cat([self.users(read.users, read.activity), mean], dim=1))
        return represented


def train_ranker(
    cases: Cases, profiles: Profiles, config: RankerConfig, seed: int, on_epoch: Callable[[int, float], None]
) -> Ranker:
    """Fit to the histories of `cases`, whose targets choose the epoch by NDCG@10 among sampled negatives."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = (Din if config.kind == "din" else Bst)(profiles, popularity_codes(cases.history), config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    least = config.learning_rate * LEAST_RATE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs, least)
    best, best_ndcg, best_epoch = copy.deepcopy(model), -1.0, 0
    for number in range(1, config.epochs + 1):
        model.train()
        for users in _batches(len(cases.targets), config, rng):
            loss = ranker_loss(model, cases, users, config, rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        found = float(ndcg(sampled_ranks(pair_scorer(model, cases.history, config, seed), cases), 10).mean())
        on_epoch(number, found)
        if found > best_ndcg:
            best, best_ndcg, best_epoch = copy.deepcopy(model), found, number
        elif number - best_epoch >= config.patience:
            break
    return best


def ranker_loss(model: Ranker, cases: Cases, users: Rows, config: RankerConfig, rng: np.random.Generator) -> Tensor:
    """Mean over the items asked of -log of their share among themselves and the user's negatives (sampled softmax)."""
    history = cases.history
    asked = np.full((len(users), config.asked), -1)
    kept = []
    for row, user in enumerate(users):
        known = rng.permutation(_items(history, int(user)))
        number = min(config.asked, len(known) // 2)
        asked[row, :number] = known[:number]
        kept.append(known[number : number + config.most_history])
    negatives = rng.integers(history.shape[1], size=(len(users), config.negatives))
    taken = np.asarray(history[users[:, None], negatives].todense()) > 0
    taken |= negatives == cases.targets[users, None]
    score = model(_read(users, kept, history), to_tensor(np.concatenate([np.maximum(asked, 0), negatives], axis=1)))
    against = score[:, config.asked :].masked_fill(torch.from_numpy(taken), NO_LOGIT).logsumexp(1, keepdim=True)
    loss: Tensor = functional.softplus(against - score[:, : config.asked])[torch.from_numpy(asked >= 0)].mean()
    return loss


def pair_scorer(model: Ranker, history: sp.csr_matrix, config: RankerConfig, seed: int) -> PairScorer:
    """Score each user's own candidates."""
    rng = np.random.default_rng(seed)
    model.eval()

    def score(users: Rows, candidates: Rows) -> NDArray[np.float32]:
        with torch.no_grad():
            read = _read(users, [_some(history, int(user), config.served_history, rng) for user in users], history)
            return np.asarray(model(read, to_tensor(candidates)).numpy())

    return score


def tower_scorer(model: Bst, history: sp.csr_matrix, config: RankerConfig, seed: int) -> Scorer:
    """Score all items, which two towers can."""
    rng = np.random.default_rng(seed)
    model.eval()
    with torch.no_grad():
        items = model.item_tower(model.embed(torch.arange(history.shape[1])))

    def score(users: Rows) -> NDArray[np.float32]:
        with torch.no_grad():
            read = _read(users, [_some(history, int(user), config.served_history, rng) for user in users], history)
            return np.asarray((model.user(read) @ items.T).numpy())

    return score


def _read(users: Rows, histories: list[Rows], history: sp.csr_matrix) -> Read:
    longest = max(len(one) for one in histories)
    rows = np.zeros((len(users), longest), dtype=np.int64)
    known = np.zeros((len(users), longest), dtype=np.float32)
    for place, one in enumerate(histories):
        rows[place, : len(one)] = one
        known[place, : len(one)] = 1.0
    activity = activity_codes(history)[users]
    return Read(to_tensor(users), to_tensor(activity), to_tensor(rows), torch.from_numpy(known))


def _some(history: sp.csr_matrix, user: int, most: int, rng: np.random.Generator) -> Rows:
    known = _items(history, user)
    return known if len(known) <= most else rng.choice(known, most, replace=False)


def _items(history: sp.csr_matrix, user: int) -> Rows:
    known: Rows = history.indices[history.indptr[user] : history.indptr[user + 1]].astype(np.int64)
    return known


def _batches(users: int, config: RankerConfig, rng: np.random.Generator) -> list[Rows]:
    """Cut `passes` permutations of the users into batches."""
    parts = users // config.batch_users + 1
    return [batch for _ in range(config.passes) for batch in np.array_split(rng.permutation(users), parts)]
