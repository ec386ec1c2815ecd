"""LED with weights by type and age: scores and reasons are those of the weighted mean."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import only, query_of
from models.history_weights import DAY_MS, HistoryWeights
from models.spec import led_spec
from naive import MAX_HISTORY, Request
from server.query import History
from server.retrieval import Retriever
from small_world import DIM, FakeEncoder, small_world

RULE = HistoryWeights({"VIEW": 0.5, "PURCHASE": 4.0}, 10.0)
WEIGHT_OF = {1: 0.5, 5: 4.0}
LED = only("led")


@settings(max_examples=100)
@given(data=st.data(), seed=st.integers(0, 15))
def test_scores_and_shares_are_weighted(data: st.DataObject, seed: int) -> None:
    """Every score is `sum w_h <v_h, v_i> / sum w_h + b_i`, and the reason is its largest share."""
    world = small_world(seed)
    country = world.countries["AA"]
    row = st.integers(0, country.catalog.size - 1)
    history = data.draw(st.lists(st.tuples(row, st.sampled_from([1, 2, 5])), min_size=1, max_size=9))
    times = sorted(data.draw(st.lists(st.integers(1, 60 * DAY_MS), min_size=len(history), max_size=len(history))))
    encoders = {**world.encoders, "led": FakeEncoder(led_spec(DIM, MAX_HISTORY, 17, RULE))}
    served = Retriever(replace(world, encoders=encoders), encoders, {LED.name: LED}, None)  # type: ignore[arg-type]
    query = query_of(country, Request(tuple(history), k=5), LED.name, explain=True)
    sent = History(query.history.items, query.history.types, np.array(times))
    answer = served.answer(msgspec.structs.replace(query, history=sent))
    recent = list(zip(history, times, strict=True))[-MAX_HISTORY:]
    weights = [WEIGHT_OF.get(kind, 1.0) * 0.5 ** ((times[-1] - time) / DAY_MS / 10.0) for (_, kind), time in recent]
    vectors = country.led.vectors.astype(float)
    for item, (piece,) in zip(answer.rows.tolist(), answer.evidence, strict=True):
        shares = [
            weight * float(vectors[each, :-1] @ vectors[item, :-1]) / sum(weights)
            for weight, ((each, _), _) in zip(weights, recent, strict=True)
        ]
        assert piece.score == pytest.approx(sum(shares) + vectors[item, -1], abs=1e-4)
        assert piece.contribution == pytest.approx(max(shares), abs=1e-4)
