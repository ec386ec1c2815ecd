"""DIN and BST against their equations, without what would give the label away."""

import msgspec
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.nn import functional

from shortlist_training.leave_one_out import Cases, hold_out_one, sampled_ranks
from shortlist_training.pdn.features import Fields, Profiles, popularity_codes
from shortlist_training.pdn.model import to_tensor
from shortlist_training.pdn.sequence_rankers import (
    Bst,
    Din,
    RankerConfig,
    Read,
    pair_scorer,
    ranker_loss,
    tower_scorer,
    train_ranker,
)

USERS, ITEMS = 40, 24
DIN = RankerConfig(kind="din", id_dim=4, field_dim=2, dim=4, hidden=3, negatives=5, epochs=2, batch_users=8)
BST = RankerConfig(kind="bst", id_dim=4, field_dim=2, dim=4, hidden=3, negatives=5, epochs=2, batch_users=8)


@pytest.fixture(scope="module")
def cases() -> Cases:
    likes = 0.05 + 0.7 * (np.arange(USERS)[:, None] % 2 == np.arange(ITEMS) % 2)
    history = (np.random.default_rng(2).random((USERS, ITEMS)) < likes).astype(np.float32)
    return hold_out_one(sp.csr_matrix(history), 3, negatives=5)


def profiles() -> Profiles:
    return Profiles(
        users=Fields(np.arange(USERS)[:, None] % 3, (3,)),
        items=Fields(np.arange(ITEMS)[:, None] % 4, (4,)),
        genres=np.eye(2, dtype=np.float32)[np.arange(ITEMS) // 12],
        genre_names=("a", "b"),
    )


def reads() -> Read:
    """Two users, the second with one item less than the first."""
    known = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    return Read(torch.tensor([0, 5]), torch.tensor([1, 2]), torch.tensor([[3, 4, 9], [7, 8, 0]]), known)


def test_din_is_its_equation_item_by_item(cases: Cases) -> None:
    """Each weight is the activation unit's of one pair, and the sum is divided by the history's length."""
    torch.manual_seed(1)
    model, read = Din(profiles(), popularity_codes(cases.history), DIN), reads()
    candidates = torch.tensor([[1, 2, 3, 10], [2, 5, 6, 0]])
    found = model(read, candidates)
    for user, length in ((0, 3), (1, 2)):
        for place in range(4):
            asked = model.embed(candidates[user, place])
            drawn = torch.zeros(4)
            for item in read.history[user, :length]:
                known = model.embed(item)
                first = model.trigger(known) + model.target(asked) + model.both @ (known * asked)
                drawn = drawn + model.unit(functional.leaky_relu(first)) * known / length
            person = model.users(read.users, read.activity)[user]
            expected = model.out(torch.cat([person, drawn, asked, drawn * asked]))
            torch.testing.assert_close(found[user, place], expected[0])


@pytest.mark.parametrize("config", [DIN, BST])
def test_padding_and_order_say_nothing(cases: Cases, config: RankerConfig) -> None:
    """What stands in a padded place, and where an item stands, changes no score."""
    torch.manual_seed(1)
    model = (Din if config.kind == "din" else Bst)(profiles(), popularity_codes(cases.history), config).eval()
    read, candidates = reads(), torch.tensor([[1, 2], [5, 6]])
    moved = Read(read.users, read.activity, torch.tensor([[9, 3, 4], [8, 7, 11]]), read.known)
    torch.testing.assert_close(model(moved, candidates), model(read, candidates))


@pytest.mark.parametrize("config", [DIN, BST])
def test_training_learns_the_taste_and_is_repeatable(cases: Cases, config: RankerConfig) -> None:
    """With tastes by even and odd items, most targets come first; the same seed gives the same epochs."""
    courses: list[list[float]] = [[], []]
    slow = msgspec.structs.replace(config, epochs=4, passes=8, learning_rate=2e-2)
    for course in courses:
        model = train_ranker(cases, profiles(), slow, 7, lambda _epoch, value, to=course: to.append(value))
    assert courses[0] == courses[1]
    places = sampled_ranks(pair_scorer(model, cases.history, slow, 7), cases)
    assert places.mean() < 2.4  # by chance 3.5
    assert 1 <= len(courses[0]) <= 4


def test_bst_scores_all_items_as_it_scores_candidates(cases: Cases) -> None:
    """Two towers give every item the score that it has as a candidate."""
    torch.manual_seed(1)
    model = Bst(profiles(), popularity_codes(cases.history), BST)
    users, everything = np.arange(6), np.tile(np.arange(ITEMS), (6, 1))
    pairs = pair_scorer(model, cases.history, BST, 7)(users, everything)
    np.testing.assert_allclose(tower_scorer(model, cases.history, BST, 7)(users), pairs, atol=1e-5)


def test_no_item_asked_is_in_the_history_that_is_read(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training step never shows a model the item that it asks for, nor a user's own item as a negative."""
    model = Din(profiles(), popularity_codes(cases.history), DIN)
    seen: list[tuple[Read, torch.Tensor]] = []

    def heard(read: Read, candidates: torch.Tensor) -> torch.Tensor:
        seen.append((read, candidates))
        return candidates.float()

    monkeypatch.setattr(model, "forward", heard)
    ranker_loss(model, cases, np.arange(USERS), DIN, np.random.default_rng(1))
    read, candidates = seen[0]
    for user in range(USERS):
        known = set(read.history[user][read.known[user] > 0].tolist())
        number = min(DIN.asked, cases.history[user].nnz // 2)
        asked = set(candidates[user, :number].tolist())
        assert known | asked == set(cases.history[user].indices.tolist())
        assert not known & asked


def test_popularity_is_that_of_the_training_log(cases: Cases) -> None:
    """The item fields read the codes that the model was made with."""
    codes = popularity_codes(cases.history)
    assert torch.equal(Din(profiles(), codes, DIN).popularity, to_tensor(codes))
