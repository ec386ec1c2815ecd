"""Table 2's form: a row per method with both protocols, and what PDN is ahead by, user by user."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from shortlist_training.leave_one_out import Ranks, hits, measured, ndcg
from shortlist_training.reproduction.parts import Cell, ResultTable

COLUMNS = ("HR@10, 99 negatives", "NDCG@10, 99 negatives", "HR@10, all items", "NDCG@10, all items")
PAPER = {
    "Pearson CF": ".403 / .213 (item to item)",
    "SLIM": ".440 / .234 (item to item)",
    "DSSM": ".470 / .260",
    "YouTube DNN": ".619 / .358",
    "PDN": ".677 / .407",
    "DSSM, item to item": ".224 / .103",
    "YouTube DNN, item to item": ".436 / .232",
    "PDN without bias net": ".632 / .340",
    "PDN without direct net": ".664 / .393",
    "SimNet alone": ".515 / .286 (item to item)",
    "BST": ".632 / .360",
    "DIN": ".645 / .377 (ranking only)",
}
PROTOCOL = (
    "MovieLens-1M, leave-one-out split of NCF, one held-out item per user; mean over all 6040 users with its bootstrap "
    "95 % interval. '99 negatives': ranked among the split's 99 sampled negatives; 'all items': among all items that "
    "the user's training log does not have. Equal scores count as ranked before the target. Hyperparameters and "
    "epochs are chosen by NDCG@10 among all items, on one more random item per user that is held out of training, for "
    "PDN and late triggers drawn by lateness; a method whose NDCG@10 with 99 negatives is best with another "
    "setting has a row for that too."
)
PAIRED = (
    "The same users: mean of PDN's value less the other's, user by user, with its bootstrap 95 % interval over users; "
    "an interval that holds 0 is no difference that these users show."
)
AGAINST_OTHERS = "PDN against the strongest methods, user by user"
AGAINST_ITSELF = "PDN against itself without a part, user by user"

Row = tuple[str, tuple[Cell | str | None, ...]]
_MEASURES: tuple[Callable[[NDArray[np.int64], int], NDArray[np.float64]], ...] = (hits, ndcg)


def per_user(places: Ranks) -> list[NDArray[np.float64]]:
    """Give each user's value in the order of `COLUMNS`: four times (U,)."""
    return [of(place, 10) for place in (places.sampled, places.all) for of in _MEASURES]


def row(name: str, places: Ranks, seed: int, paper: str | None = None) -> Row:
    """Measure both protocols; `paper` names the paper's row if it is not `name`."""
    return name, (*(_cell(values, seed) for values in per_user(places)), PAPER.get(paper or name, "-"))


def ranking_row(name: str, sampled: NDArray[np.int64], seed: int) -> Row:
    """Measure a method that only ranks, by its (U,) places among the sampled negatives."""
    return name, (*(_cell(of(sampled, 10), seed) for of in _MEASURES), None, None, PAPER.get(name, "-"))


def table(title: str, rows: Iterable[Row]) -> ResultTable:
    """Put rows of `row` together."""
    return ResultTable(title, PROTOCOL, (*COLUMNS, "paper HR@10 / NDCG@10"), tuple(rows))


def ahead(ours: Ranks, others: Mapping[str, Ranks], seed: int, title: str = AGAINST_OTHERS) -> ResultTable:
    """Compare PDN with each of the others on the same users."""
    mine = per_user(ours)
    rows = []
    for name, theirs in others.items():
        pairs = zip(mine, per_user(theirs), strict=True)
        rows.append((f"PDN minus {name}", tuple(_cell(left - right, seed) for left, right in pairs)))
    return ResultTable(title, PAIRED, COLUMNS, tuple(rows))


def _cell(values: NDArray[np.float64], seed: int) -> Cell:
    found = measured(values, seed)
    return Cell(found.value, found.low, found.high)
