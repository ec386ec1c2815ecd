"""From naive requests to queries, and hypothesis strategies that draw both."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from index_store.country import Country
from naive import Request
from server.profiles import FusionName, Profile, SourceName, SourceSetting
from server.query import Filters, History, ItemRefs, Query

UNKNOWN_ITEM = 5  # an id that no small catalogue has, but for a chance of 2**-64


def refs(items: Sequence[int | str]) -> ItemRefs:
    """Refer to items by id or by key."""
    ids = [(place, item) for place, item in enumerate(items) if isinstance(item, int)]
    keys = [(place, item) for place, item in enumerate(items) if isinstance(item, str)]
    return ItemRefs(
        length=len(items),
        item_ids=np.array([item for _, item in ids], dtype=np.uint64),
        id_positions=np.array([place for place, _ in ids], dtype=np.int64),
        keys=tuple(item for _, item in keys),
        key_positions=np.array([place for place, _ in keys], dtype=np.int64),
    )


def item(country: Country, row: int, *, by_key: bool) -> int | str:
    """An item of a row as a caller names it; -1 is one that is not known."""
    if row < 0:
        return "nothing" if by_key else UNKNOWN_ITEM
    return country.catalog.details(row).item_key if by_key else int(country.catalog.item_ids[row])


def query_of(country: Country, request: Request, profile: str = "", **changes: object) -> Query:
    """Make the query that asks for a naive request; keys and ids take turns where `by_key`."""
    named = [
        item(country, row, by_key=request.by_key and place % 2 == 0) for place, (row, _) in enumerate(request.history)
    ]
    types = np.array([kind for _, kind in request.history], dtype=np.int64)
    history = History(refs(named), types, np.zeros(len(types), dtype=np.int64))
    excluded = [item(country, row, by_key=request.by_key) for row in request.excluded]
    fields: dict[str, object] = {
        "country": country.code,
        "history": history,
        "k": request.k,
        "time_ms": 0,
        "exclude_history": request.exclude_history,
        "features": {} if request.age is None else {"age": request.age},
        "profile": profile,
        "seed": refs([item(country, request.seed, by_key=False)]) if request.seed >= 0 else ItemRefs.none(),
        "filters": Filters(request.merchants, request.categories, request.price, refs(excluded)),
    }
    return Query(**{**fields, **changes})  # type: ignore[arg-type]


def only(*names: SourceName, fusion: FusionName = "single") -> Profile:
    """A profile named after its sources."""
    return Profile("-".join(names), tuple(SourceSetting(name) for name in names), fusion)


@st.composite
def requests(draw: st.DrawFn, country: Country, *, filtered: bool = True) -> Request:
    """Draw a request, with any combination of filters."""
    size = country.catalog.size
    row = st.integers(0, size - 1)
    step = st.tuples(st.one_of(row, row, row, st.just(-1)), st.sampled_from([0, 1, 2, 4, 5]))
    names = st.sampled_from([(), (), ("1",), ("1", "2"), ("2", "9"), ("9",)])
    prices = (
        [None]
        if country.catalog.prices is None
        else [None, None, (0.0, 4.0), (3.0, 3.0), (5.0, float("inf")), (1.0, 1e300)]
    )
    maybe = (
        {}
        if not filtered
        else {
            "exclude_history": draw(st.booleans()),
            "merchants": tuple(f"m{name}" for name in draw(names)),
            "categories": tuple(f"c{name}" for name in draw(names)),
            "price": draw(st.sampled_from(prices)),
            "excluded": tuple(draw(st.one_of(st.just([]), st.lists(st.one_of(row, st.just(-1)), max_size=20)))),
            "by_key": draw(st.booleans()),
        }
    )
    return Request(
        history=tuple(draw(st.lists(step, max_size=9))),
        k=draw(st.integers(1, 70)),
        seed=draw(st.one_of(st.just(-1), row)),
        age=draw(st.sampled_from([None, 20.0, 45.0])),
        **maybe,
    )
