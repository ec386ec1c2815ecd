"""The client against a real server: every call, arrays in and out, errors by whose fault they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from running_server import RunningServer

from shortlist.client import (
    AsyncClient,
    Client,
    DeadlineError,
    Filters,
    History,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from shortlist.client.request import RetrieveOptions, retrieve_request

_FREE = "127.0.0.1:9"  # discard: nobody listens
_S = 10.0


def test_arrays_in_arrays_out(server: RunningServer) -> None:
    """Ids, types by name and times as numpy arrays; the answer has exactly k ids and scores, best first."""
    with Client(server.address, timeout_s=_S) as client:
        first = client.retrieve("FR", k=20)
        history = History(first.item_ids[:5], "view", np.arange(5) * 1000)
        answer = client.retrieve("FR", history, k=30, exclude_history=True)
    assert len(answer) == 30
    assert answer.item_ids.dtype == np.uint64
    assert (np.diff(answer.scores) <= 0).all()
    assert not np.isin(answer.item_ids, first.item_ids[:5]).any()
    assert (first.fallback, answer.fallback) == ("EMPTY_HISTORY", "")
    assert answer.found_by("led").any()


def test_keys_filters_features_and_details(server: RunningServer) -> None:
    """String keys, a merchant, excluded keys and details come through as the generated class would send them."""
    with Client(server.address, timeout_s=_S) as client:
        answer = client.retrieve(
            "FR",
            History(["fr-0001", "fr-0002"], ["VIEW", "purchase"]),
            k=5,
            filters=Filters(merchants=["merchant-1"], excluded=["fr-0008"]),
            features={"age": 30.0, "device": "phone"},
            include_item_details=True,
        )
    details = [candidate.details for candidate in answer.message.candidates]
    assert {each.merchant for each in details} == {"merchant-1"}
    assert "fr-0008" not in {each.item_key for each in details}
    assert len(answer) == 5


def test_batch_similar_and_info(server: RunningServer) -> None:
    """A batch is what single calls are; similar items and what is served come as messages."""
    history = History(["fr-0003"], "view")
    with Client(server.address, timeout_s=_S) as client:
        alone = client.retrieve("FR", history, k=7)
        requests = [retrieve_request(country, history, 7, RetrieveOptions()) for country in ("FR", "DE")]
        together = client.retrieve_batch(requests)
        similar = client.similar_items("FR", "fr-0003", k=3)
        info = client.serving_info()
    assert together[0].item_ids.tolist() == alone.item_ids.tolist()
    assert together[1].country == "DE"
    assert 0 < len(similar.candidates) <= 3
    assert [country.country for country in info.countries] == ["DE", "FR", "US"]


def test_errors_say_whose_fault(server: RunningServer) -> None:
    """A wrong request names its fields; an unknown country is not found."""
    with Client(server.address, timeout_s=_S) as client:
        with pytest.raises(InvalidRequestError) as wrong:
            client.retrieve("FR", k=0)
        assert [fault.field for fault in wrong.value.fields] == ["k"]
        assert "found 0" in wrong.value.fields[0].why
        with pytest.raises(NotFoundError, match="XX"):
            client.retrieve("XX", k=3)


def test_no_answer_in_time_is_a_deadline(server: RunningServer) -> None:
    """A server that hangs costs its caller the time that the call names, no more."""
    with Client(server.address, timeout_s=_S) as client:
        client.retrieve("FR", k=3)
        workers = server.workers()
        for worker in workers:
            worker.suspend()
        try:
            with pytest.raises(DeadlineError):
                client.retrieve("FR", k=3, timeout_s=0.1)
        finally:
            for worker in workers:
                worker.resume()


def test_asyncio_does_the_same(server: RunningServer, run: Callable[..., Any]) -> None:
    """The awaited calls answer and refuse as the sync ones do."""

    async def calls() -> tuple[list[int], list[int], list[str]]:
        async with AsyncClient(server.address, timeout_s=_S) as client:
            await client.wait_until_serving()
            answer = await client.retrieve("FR", History(["fr-0003"], "view"), k=7)
            requests = [retrieve_request("FR", History(["fr-0003"], "view"), 7, RetrieveOptions())]
            (batch,) = await client.retrieve_batch(requests)
            await client.similar_items("FR", "fr-0003", k=3)
            with pytest.raises(InvalidRequestError) as wrong:
                await client.retrieve("", k=3)
            assert [fault.field for fault in wrong.value.fields] == ["country"]
            info = await client.serving_info()
            return answer.item_ids.tolist(), batch.item_ids.tolist(), [each.country for each in info.countries]

    alone, batch, countries = run(calls())
    assert alone == batch
    assert countries == ["DE", "FR", "US"]


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (History([1.5]), "expected integer ids or string keys, found float64"),
        (History([[1]]), "expected one dimension"),
        (History([1, 2], ["view"]), "expected one value or 2"),
        (History([1], "bought"), "found 'bought'"),
        (History([1], "view", [1, 2]), "times_ms: expected one value or 1"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(history: History, why: str) -> None:
    """Wrong shapes, kinds and names are a ValueError that says what was expected and found."""
    with pytest.raises(ValueError, match=why):
        history.messages()


def test_ids_of_the_whole_range_stay_what_they_are() -> None:
    """A list with ids on both sides of 2**63, of which numpy would make floats, is sent to the last bit."""
    ids = [7, 2**63, 2**64 - 1]
    assert [each.item_id for each in History(ids).messages()] == ids
    assert list(Filters(excluded=ids).message().excluded_item_ids) == ids


@pytest.mark.parametrize("wrong", [{"connections": 0}, {"timeout_s": 0.0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    """No connection and no time are refused when the client is made."""
    with pytest.raises(ValueError, match="expected"):
        Client(_FREE, **wrong)


def test_waiting_for_nobody_ends(run: Callable[..., Any]) -> None:
    """Where no server runs, waiting ends in time and says what the last check got; so does a call."""
    with Client(_FREE) as client:
        with pytest.raises(UnavailableError, match=r"does not serve within 0\.2 s; last word: "):
            client.wait_until_serving(0.2)
        with pytest.raises((UnavailableError, DeadlineError)):
            client.retrieve("FR")

    async def wait() -> None:
        async with AsyncClient(_FREE) as client:
            await client.wait_until_serving(0.2)

    with pytest.raises(UnavailableError, match="last word: "):
        run(wait())
