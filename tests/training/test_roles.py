"""Which items may be LED's input or target: by type, and never so that one of both is missing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist_training.config_models import LedConfig
from shortlist_training.histories import History
from shortlist_training.roles import Roles, roles_of

VIEW, CLICK, PURCHASE = 1, 2, 5


def history(rows: list[int], types: list[int]) -> History:
    return History(np.array(rows), np.array(types), np.arange(len(rows)), "FR", {})


def test_types_decide_what_an_item_may_be() -> None:
    """Views are inputs and purchases targets; an item that was both viewed and bought may be either."""
    config = LedConfig(input_types=("VIEW", "CLICK"), target_types=("PURCHASE",))
    roles = roles_of(history([7, 8, 9, 8], [VIEW, CLICK, PURCHASE, PURCHASE]), 3, config)
    assert roles.rows.tolist() == [7, 8, 9]
    assert roles.inputs_of(roles.rows).tolist() == [7, 8]
    assert roles.targets_of(roles.rows).tolist() == [8, 9]
    assert (roles.country, roles.usable) == (3, True)


def test_without_types_every_item_may_be_both() -> None:
    """The defaults leave all items in both roles."""
    roles = roles_of(history([7, 8], [VIEW, PURCHASE]), 0, LedConfig())
    assert (roles.as_input, roles.as_target, roles.usable) == (None, None, True)


def test_who_lacks_an_input_or_a_target_is_not_usable() -> None:
    """One item alone, views alone, or one item that is the only input and the only target teach nothing."""
    config = LedConfig(input_types=("VIEW",), target_types=("PURCHASE",))
    assert not roles_of(history([7], [VIEW]), 0, LedConfig()).usable
    assert not roles_of(history([7, 8], [VIEW, VIEW]), 0, config).usable
    assert not roles_of(history([7, 8], [PURCHASE, PURCHASE]), 0, config).usable
    assert not roles_of(history([7, 7], [VIEW, PURCHASE]), 0, config).usable


@settings(max_examples=300)
@given(data=st.data(), size=st.integers(1, 7), seed=st.integers(0, 100))
def test_dividing_a_usable_history_always_leaves_both(data: st.DataObject, size: int, seed: int) -> None:
    """Whatever the masks and the cut: input and target keep to their roles, are not empty and share nothing."""
    masks = [np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size))) for _ in range(2)]
    roles = Roles(np.arange(size) + 10, *masks)
    cut = data.draw(st.integers(0, size))
    if not roles.usable:
        return
    given_rows, wanted = roles.divide(roles.rows[:cut], roles.rows[cut:], np.random.default_rng(seed))
    assert len(given_rows)
    assert len(wanted)
    assert set(given_rows.tolist()) <= set(roles.rows[masks[0]].tolist())
    assert set(wanted.tolist()) <= set(roles.rows[masks[1]].tolist())
    assert not set(given_rows.tolist()) & set(wanted.tolist())
