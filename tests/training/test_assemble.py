"""Assembly: catalogues per country, golden cases and calibration queries against their definitions."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from index_store.content import BundleContent
from shortlist_training.assemble import Provenance, SourceSet, TrainedItems, assemble
from shortlist_training.catalogue import Catalogue
from shortlist_training.config import PublishConfig
from shortlist_training.errors import DataError
from shortlist_training.histories import Histories
from shortlist_training.sources.base import exact_top
from shortlist_training.timelines import Log

ITEMS, DIM = 12, 4


def small_log() -> Log:
    """Six users; 0-3 train, 4 validation, 5 test. FR has users 0 and 4 and items 0..5, GB all the others."""
    timelines = {0: [0, 1, 2, 0], 1: [6, 7, 8], 2: [8, 9, 10], 3: [3, 9], 4: [2, 5, 11], 5: [6, 8, 7]}
    country = {0: 0, 1: 1, 2: 1, 3: 1, 4: 0, 5: 1}
    lengths = [len(items) for items in timelines.values()]
    return Log(
        users=[f"user{number}" for number in timelines],
        offsets=np.r_[0, np.cumsum(lengths)],
        items=np.concatenate([np.array(items, dtype=np.int64) for items in timelines.values()]),
        types=np.ones(sum(lengths), dtype=np.int8),
        countries=["FR", "GB"],
        country=np.repeat([country[user] for user in timelines], lengths),
        split=np.array(["train", "train", "train", "train", "validation", "test"]),
        times_ms=np.arange(sum(lengths), dtype=np.int64),
    )


VOCABULARY = np.array([0, 1, 2, 3, 6, 7, 8, 9, 10])  # items of training users


def built(
    config: PublishConfig, log: Log | None = None, country_biases: np.ndarray[Any, np.dtype[np.float32]] | None = None
) -> BundleContent:
    rng = np.random.default_rng(2)
    catalogue = Catalogue(
        item_ids=np.arange(ITEMS, dtype=np.uint64) + 100,
        keys=[f"k{place}" for place in range(ITEMS)],
        titles=None,
        merchants=[""] * ITEMS,
        categories=None,
    )
    vectors = rng.standard_normal((len(VOCABULARY), DIM)).astype(np.float32)
    biases = rng.standard_normal(len(VOCABULARY)).astype(np.float32)
    none = np.zeros((0, 0), dtype=np.float32)
    trained = TrainedItems(VOCABULARY, vectors, biases, none if country_biases is None else country_biases)
    log = log or small_log()
    histories = Histories.of(log, VOCABULARY)
    provenance = Provenance("f" * 64, 3, {"led": {"x": 1.0}}, {})
    return assemble(log, histories, catalogue, trained, SourceSet(), config, provenance)


@pytest.fixture(scope="module")
def content() -> BundleContent:
    return built(PublishConfig(golden_k=3, golden_per_country=2, max_history=2, calibration_queries=3))


def vector_of(content: BundleContent, item: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    for country in content.countries.values():
        if item in country.item_ids:
            return country.led_vectors[country.item_ids.tolist().index(item)]
    raise AssertionError(item)


def test_a_catalogue_is_what_the_country_touched_and_training_knows(content: BundleContent) -> None:
    """FR has items 0, 1, 2 (5 and 11 are only a held-out user's); popularity counts training interactions there."""
    france = content.countries["FR"]
    assert france.item_ids.tolist() == [100, 101, 102]
    assert france.keys == ["k0", "k1", "k2"]
    assert (france.titles, france.merchants) == (None, ["", "", ""])
    assert france.popularity.tolist() == [2, 1, 1]
    britain = content.countries["GB"]
    assert britain.item_ids.tolist() == [103, 106, 107, 108, 109, 110]
    assert britain.popularity.tolist() == [1, 1, 1, 2, 2, 1]


def test_shared_items_have_one_vector_everywhere() -> None:
    """A country's vectors are the global ones, restricted to its rows."""
    content = built(PublishConfig())
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((len(VOCABULARY), DIM)).astype(np.float32)
    np.testing.assert_array_equal(content.countries["FR"].led_vectors, vectors[:3])
    np.testing.assert_array_equal(content.countries["GB"].led_vectors, vectors[3:])


def test_golden_cases_prefer_held_out_users_and_end_with_the_empty_history(content: BundleContent) -> None:
    """Histories hold only the country's items, the most recent, oldest first; each country ends with a null history."""
    histories = [(case.country, list(case.history)) for case in content.golden]
    assert histories == [
        ("FR", [102]),
        ("FR", [102, 100]),
        ("FR", []),
        ("GB", [108, 107]),
        ("GB", [107, 108]),
        ("GB", []),
    ]


def golden_cases(content: BundleContent) -> Iterator[tuple[Any, Any]]:
    for case in content.golden:
        yield case, content.countries[case.country]


def test_golden_answers_are_exact(content: BundleContent) -> None:
    """The user vector is [mean, 1] and the answer the k best <u, v> + b, recomputed here one item at a time."""
    for case, country in golden_cases(content):
        vectors = [vector_of(content, item) for item in case.history]
        mean = np.mean(vectors, axis=0) if vectors else np.zeros(DIM)
        np.testing.assert_allclose(case.user_vector, [*mean, 1.0], atol=1e-6)
        scores = {
            int(item): float(np.dot(mean, vector) + bias)
            for item, vector, bias in zip(country.item_ids, country.led_vectors, country.led_biases, strict=True)
        }
        best = sorted(scores, key=lambda item: (-scores[item], item))[:3]
        assert list(case.item_ids) == best
        assert case.k == len(best)
        np.testing.assert_allclose(case.scores, [scores[item] for item in best], atol=1e-5)


def test_equal_scores_rank_by_lower_item_id() -> None:
    """Ties are broken by item id, whatever the order of rows."""
    items, scores = exact_top(np.array([1, 2, 1, 2], dtype=np.float32), np.array([9, 8, 3, 7], dtype=np.uint64), 3)
    assert (items, scores) == ([7, 8, 3], [2.0, 2.0, 1.0])


def test_calibration_puts_own_held_out_users_first(content: BundleContent) -> None:
    """FR's one held-out user comes first; GB's user knows no FR item and cannot help."""
    france = content.countries["FR"]
    assert france.own_queries == 1
    np.testing.assert_allclose(france.calibration_queries, [[*vector_of(content, 102), 1.0]], atol=1e-6)
    assert content.countries["GB"].own_queries == 1


def test_timelines_name_users_and_their_home_country() -> None:
    """Sample users come in order, as many as asked for, with all their interactions."""
    content = built(PublishConfig(timelines=1))
    assert [(t.user, t.country, list(t.item_ids), list(t.types)) for t in content.timelines] == [
        ("user0", "FR", [100, 101, 102, 100], [1, 1, 1, 1])
    ]
    assert small_log().homes().tolist() == [0, 1, 1, 1, 0, 1]


def test_min_interactions_thins_catalogues_and_may_empty_a_country() -> None:
    """Items below the minimum are left out, a country without items disappears, none at all is an error."""
    content = built(PublishConfig(min_interactions=2))
    assert {code: country.item_ids.tolist() for code, country in content.countries.items()} == {
        "FR": [100, 102],
        "GB": [106, 107, 108, 109],
    }
    assert list(built(PublishConfig(min_interactions=3)).countries) == ["GB"]
    with pytest.raises(DataError, match=r"lower publish\.min_interactions"):
        built(PublishConfig(min_interactions=50))


def test_country_biases_give_every_country_its_own_order() -> None:
    """With b_i + b_(i,c) a country's biases and its null history's order are its own; vectors stay shared."""
    added = np.zeros((2, len(VOCABULARY)), dtype=np.float32)
    added[0, :3] = [0.0, 50.0, 100.0]
    content = built(PublishConfig(), country_biases=added)
    plain = built(PublishConfig())
    difference = content.countries["FR"].led_biases - plain.countries["FR"].led_biases
    np.testing.assert_allclose(difference, [0.0, 50.0, 100.0], atol=1e-5)
    np.testing.assert_array_equal(content.countries["GB"].led_biases, plain.countries["GB"].led_biases)
    strangers = {case.country: list(case.item_ids) for case in content.golden if not case.history}
    assert strangers["FR"] == [102, 101, 100]


def test_a_country_where_nobody_lives_still_has_a_golden_history() -> None:
    """FR's two users have moved to GB: a history of one of them stands for FR, so that its sources can be checked."""
    log = small_log()
    country = log.country.copy()
    country[log.offsets[np.array([1, 5])] - 1] = 1  # the newest interactions of users 0 and 4
    content = built(PublishConfig(), replace(log, country=country))
    histories = [list(case.history) for case in content.golden if case.country == "FR"]
    assert histories == [[100, 101, 102, 100], []]
