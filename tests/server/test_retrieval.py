"""The Retriever against a naive reference, on random catalogues and requests. No server here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index_store.bundle import Bundle, load_bundle
from index_store.content import BundleContent, CountryContent
from index_store.publish import publish
from models.encoder import OnnxEncoder
from server.retrieval import Fallback, History, Query, Retriever, UnknownCountryError
from tiny_bundle import POLICY, exact_scores, tiny_content, user_vector

# every neighbour found: three golden requests are too few to sit near a lower target by luck alone
FULL_RECALL = replace(POLICY, recall_target=1.0)
SIZES = {"AA": 1, "BB": 7, "CC": 45, "DD": 150}


@dataclass(frozen=True)
class _Case:
    content: BundleContent
    bundle: Bundle
    encoder: OnnxEncoder


@pytest.fixture(scope="module", params=[11, 12, 13])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Case:
    """A random bundle with exact countries and one with a graph."""
    content = tiny_content(request.param, sizes=SIZES)
    root: Path = tmp_path_factory.mktemp("retrieval")
    bundle = load_bundle(publish(content, root=root, name="r", version="v1", policy=FULL_RECALL))
    return _Case(content, bundle, bundle.open_led())


def history_of(items: Sequence[int | str]) -> History:
    """Build a history of ids and keys."""
    ids = [(position, item) for position, item in enumerate(items) if isinstance(item, int)]
    keys = [(position, item) for position, item in enumerate(items) if isinstance(item, str)]
    return History(
        length=len(items),
        item_ids=np.array([item for _, item in ids], dtype=np.uint64),
        id_positions=np.array([position for position, _ in ids], dtype=np.int64),
        keys=tuple(item for _, item in keys),
        key_positions=np.array([position for position, _ in keys], dtype=np.int64),
    )


def query_of(country: str, items: Sequence[int | str], k: int, *, exclude: bool = False) -> Query:
    """Build a query without features."""
    return Query(country, history_of(items), k, exclude, include_details=False, feature_names=())


def naive_scores(country: CountryContent, rows: Sequence[int], max_history: int) -> np.ndarray:
    """(N,) scores by the paper's formula, the bias alone without a history."""
    if not rows:
        return country.led_biases
    return exact_scores(country, user_vector(country.led_vectors, rows[-max_history:]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), code=st.sampled_from(sorted(SIZES)), k=st.integers(1, 200), exclude=st.booleans())
def test_it_equals_the_naive_reference(case: _Case, data: st.DataObject, code: str, k: int, *, exclude: bool) -> None:
    """Scores are exact for their rows, the count is right, nothing excluded comes back, and the best are found."""
    country = case.content.countries[code]
    size = SIZES[code]
    unknown = st.integers(1, 6).map(lambda item_id: -item_id)
    picks = data.draw(st.lists(st.one_of(st.integers(0, size - 1), unknown), max_size=60))
    items = [int(country.item_ids[pick]) if pick >= 0 else 2**40 - pick for pick in picks]
    rows = [pick for pick in picks if pick >= 0]

    answer = Retriever(case.bundle, case.encoder).answer(query_of(code, items, k, exclude=exclude))

    # the catalogue may order rows as it likes: compare by item id
    row_of = {int(item_id): row for row, item_id in enumerate(country.item_ids)}
    found = [row_of[int(i)] for i in case.bundle.countries[code].catalog.item_ids[answer.rows]]
    scores = naive_scores(country, rows, case.content.led_spec.max_history)
    excluded = set(rows) if exclude else set()
    eligible = [row for row in range(size) if row not in excluded]
    best = sorted((float(scores[row]) for row in eligible), reverse=True)[: len(found)]
    assert len(found) == len(set(found)) == min(k, len(eligible))
    assert not excluded & set(found)
    assert answer.scores.tolist() == pytest.approx([float(scores[row]) for row in found], abs=1e-4)
    assert (np.diff(answer.scores) <= 0).all()
    if answer.method != "hnsw":
        assert answer.scores.tolist() == pytest.approx(best, abs=1e-4)
    assert answer.unknown_items == len(picks) - len(rows)
    expected = Fallback.NONE if rows else Fallback.UNKNOWN_HISTORY if picks else Fallback.EMPTY_HISTORY
    assert answer.fallback == expected


@pytest.mark.parametrize("distinct", [1, 5, 44, 45])
def test_leaving_out_the_history_keeps_k(case: _Case, distinct: int) -> None:
    """However much of the catalogue is in the history, the answer has k others or all that are left."""
    ids = [int(item_id) for item_id in case.content.countries["CC"].item_ids[:distinct]]
    answer = Retriever(case.bundle, case.encoder).answer(query_of("CC", ids * 2, 10, exclude=True))
    assert len(answer.rows) == min(10, 45 - distinct)
    assert not set(case.bundle.countries["CC"].catalog.item_ids[answer.rows].tolist()) & set(ids)


def test_the_order_of_a_mixed_history_is_kept(bundle: Bundle) -> None:
    """Ids and keys are looked up apart and put back in their places."""
    from server.retrieval import resolve_rows  # noqa: PLC0415 - beside its only use

    country = bundle.countries["FR"]
    ids = country.catalog.item_ids
    keys = [country.catalog.details(row).item_key for row in range(4)]
    items: list[int | str] = [int(ids[3]), keys[1], "none", int(ids[0]), 99, keys[2]]
    assert resolve_rows(country, history_of(items)).tolist() == [3, 1, -1, 0, -1, 2]


def test_an_unknown_country_knows_the_others(case: _Case) -> None:
    """The error carries what was asked for and what there is."""
    with pytest.raises(UnknownCountryError) as caught:
        Retriever(case.bundle, case.encoder).answer(query_of("ZZ", [], 1))
    assert (str(caught.value), caught.value.known) == ("unknown country 'ZZ'", tuple(sorted(SIZES)))
