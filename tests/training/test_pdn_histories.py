"""PDN for users of whom little is told: that it forgets who they are, and the part that measures it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tiny_movielens import USERS, small, tiny_movielens

from shortlist_training.pdn.features import Fields, Profiles
from shortlist_training.pdn.inference import serve, similarity_matrix
from shortlist_training.pdn.model import Pdn, PdnConfig
from shortlist_training.pdn.strangers import as_strangers
from shortlist_training.pdn.views import View, look, views
from shortlist_training.pdn.warm_start import FactorConfig, Factors, factorize, fold_in, start_from_factors
from shortlist_training.reproduction import pdn_histories
from shortlist_training.reproduction.led_tables import LENGTHS
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult, ResultTable
from shortlist_training.reproduction.pdn_tables import COLUMNS

PEOPLE, ITEMS = 20, 24
FACTORS = FactorConfig(factors=4, iterations=3)


@pytest.fixture(scope="module")
def history() -> sp.csr_matrix:
    return sp.csr_matrix((np.random.default_rng(2).random((PEOPLE, ITEMS)) < 0.4).astype(np.float32))


@pytest.fixture(scope="module")
def view(history: sp.csr_matrix) -> View:
    linear = small().linear
    return look(history, linear, views(history, 2, linear, 1, lambda *_: None).edges)


@pytest.fixture(scope="module")
def factors(history: sp.csr_matrix) -> Factors:
    return factorize(history, FACTORS, 1)


@pytest.fixture(scope="module")
def model(factors: Factors) -> Pdn:
    """Users 0 and 1 have one profile, and ids of which TrigNet and the direct net make much."""
    torch.manual_seed(4)
    profiles = Profiles(
        users=Fields(np.array([[0], [0], *([[1]] * (PEOPLE - 2))]), (2,)),
        items=Fields(np.zeros((ITEMS, 1), dtype=np.int64), (1,)),
        genres=np.ones((ITEMS, 1), dtype=np.float32),
        genre_names=("a",),
    )
    found = Pdn(profiles, PdnConfig(id_dim=4, field_dim=3, hidden=6, direct_dim=4, path_start=-1.0))
    with torch.no_grad():
        found.users.id.weight.copy_(torch.randn_like(found.users.id.weight))
    start_from_factors(found, factors, 0.5)
    return found


def test_folding_in_solves_the_normal_equations(history: sp.csr_matrix, factors: Factors) -> None:
    """(Y'C Y + lambda I) x = Y'C p with C = alpha for what a user has and 1 else; nothing had, nothing found."""
    told = history.copy()
    told.data[told.indptr[3] : told.indptr[4]] = 0.0
    told.eliminate_zeros()
    found = fold_in(told, factors, FACTORS)
    y = factors.items.astype(np.float64)
    for user in range(PEOPLE):
        had = told[user].toarray()[0] > 0
        known = y.T @ (np.where(had, FACTORS.alpha, 1.0)[:, None] * y) + FACTORS.regularization * np.eye(4)
        np.testing.assert_allclose(found.users[user], np.linalg.solve(known, FACTORS.alpha * y[had].sum(0)), rtol=1e-3)
    assert not found.users[3].any()
    np.testing.assert_array_equal(found.items, factors.items)


def test_strangers_are_what_is_told_of_them(history: sp.csr_matrix, view: View, factors: Factors, model: Pdn) -> None:
    """Two users of one profile are told the same items: known by id they differ, as strangers they do not."""
    rows = np.arange(PEOPLE)
    rows[1] = 0
    told = history[rows]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    known, strange = (
        serve(net, told, view).score_all(np.array([0, 1, 2]))
        for net in (model, as_strangers(model, told, factors, FACTORS))
    )
    assert np.abs(known[0] - known[1]).max() > 1e-2
    np.testing.assert_array_equal(strange[0], strange[1])
    assert np.abs(strange[0] - strange[2]).max() > 1e-2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_told_nothing_all_items_are_level(history: sp.csr_matrix, view: View, factors: Factors, model: Pdn) -> None:
    """Nobody has an item: there is no path, and the direct net weighs softplus(direct_start) for every item."""
    told = sp.csr_matrix(history.shape, dtype=np.float32)
    served = serve(as_strangers(model, told, factors, FACTORS), told, view)
    found = served.score_all(np.arange(PEOPLE))
    np.testing.assert_allclose(found, np.log1p(np.exp(model.config.direct_start)), rtol=1e-6)
    assert len(np.unique(found)) == 1


def test_similarities_that_are_there_are_not_made_again(
    history: sp.csr_matrix, view: View, factors: Factors, model: Pdn
) -> None:
    """SimNet knows no users: what it says before they are forgotten is what it says after."""
    strangers = as_strangers(model, history, factors, FACTORS)
    ready = similarity_matrix(model, view)
    first, again = serve(strangers, history, view), serve(strangers, history, view, ready)
    assert again.similarity is ready
    np.testing.assert_array_equal(first.score_all(np.arange(3)), again.score_all(np.arange(3)))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> PartContext:
    return tiny_movielens(tmp_path_factory.mktemp("movielens"))


@pytest.fixture(scope="module")
def found(context: PartContext) -> PartResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdn_histories, "SETTINGS", small())
        return pdn_histories.run_histories(context)


def values(table: ResultTable, name: str) -> list[float | None]:
    cells = dict(table.rows)[name]
    assert not any(isinstance(cell, str) for cell in cells)
    return [cell.value if isinstance(cell, Cell) else None for cell in cells]


def test_lengths_have_all_methods_in_all_measures(found: PartResult) -> None:
    """Popularity needs no history; told nothing PDN and EASE find nothing, and who is known by id has one number."""
    table, paired = found.tables[:2]
    assert table.columns == (*(str(length) for length in LENGTHS), "all (median 7)")
    methods = ["PDN", "EASE (lambda 5)", "popularity", pdn_histories.KNOWN]
    assert [name for name, _ in table.rows] == [f"{measure}: {method}" for measure in COLUMNS for method in methods]
    for measure, cells in paired.rows:
        ours, theirs, popular, known = (values(table, f"{measure}: {method}") for method in methods)
        assert len(set(popular)) == 1
        assert ours[0] == theirs[0] == 0.0
        assert [number is None for number in known] == [True] * len(LENGTHS) + [False]
        assert ours[4:] == pytest.approx([ours[-1]] * 3, abs=1.01 / USERS)  # only user 0 has more than 7 to be told
        for cell, mine, other in zip(cells, ours, theirs, strict=True):
            assert isinstance(cell, Cell)
            assert cell.value == pytest.approx(mine - other)
            assert cell.low <= cell.value <= cell.high


def test_deciles_are_parts_of_the_whole(found: PartResult) -> None:
    """Weighed by the users whose item is in it, the tenths' shares come to the number of all users."""
    lengths, _, table, paired = found.tables
    sizes = [int(size) for size in table.protocol.split("Users per tenth: ")[1].split(".")[0].split(", ")]
    assert sum(sizes) == USERS
    whole = {"PDN": pdn_histories.KNOWN, "EASE (lambda 5)": "EASE (lambda 5)", "popularity": "popularity"}
    for measure, cells in paired.rows:
        shares = {method: values(table, f"{measure}: {method}") for method in whole}
        for method, known in whole.items():
            assert [share is None for share in shares[method]] == [size == 0 for size in sizes]
            total = sum(size * (share or 0.0) for size, share in zip(sizes, shares[method], strict=True)) / USERS
            assert total == pytest.approx(values(lengths, f"{measure}: {known}")[-1])
        for cell, ours, theirs in zip(cells, shares["PDN"], shares["EASE (lambda 5)"], strict=True):
            assert (cell is None) == (ours is None)
            assert cell is None or cell.value == pytest.approx(ours - theirs)


def test_both_are_drawn(found: PartResult) -> None:
    """A curve per method over what is told, one point where a user is known by id, and over the tenths that occur."""
    lengths, popular = found.plots
    assert [len(curve.x) for curve in lengths.curves] == [len(LENGTHS) + 1] * 3 + [1]
    assert lengths.curves[-1].x == (len(LENGTHS),)
    assert lengths.x_names == found.tables[0].columns
    assert [curve.label for curve in popular.curves] == ["PDN", "EASE (lambda 5)", "popularity"]
    assert all(1 <= place <= 10 for curve in popular.curves for place in curve.x)


def test_what_was_ranked_is_not_ranked_again(
    found: PartResult, context: PartContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted part takes what it has from its work folder and comes to the same tables."""
    monkeypatch.setattr(pdn_histories, "SETTINGS", small())
    ranked: list[str] = []
    monkeypatch.setattr(pdn_histories, "ranks", lambda *_: ranked.append("again"))
    assert pdn_histories.run_histories(context) == found
    assert ranked == []
