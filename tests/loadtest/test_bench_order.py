"""The bench of insertion orders over a small drawn catalogue."""

import numpy as np
import pytest

from loadtest.bench_order import main, orders
from loadtest.catalogue import REFERENCE, draw


def test_every_order_has_every_row_once() -> None:
    """What is compared are the same rows, the most popular of them first, or cluster by cluster."""
    catalogue = draw(REFERENCE.of_size(500))
    found = orders(catalogue)
    for order in found.values():
        assert sorted(order.tolist()) == list(range(500))
    assert (np.diff(catalogue.popularity[found["most popular first"]]) <= 0).all()


def test_orders_are_compared_at_equal_recall(capsys: pytest.CaptureFixture[str]) -> None:
    """For both targets every order has an ef, a recall that reaches it, and its cost beside the first one's."""
    main(items=2_000, queries=20, space="l2_augmented", m=16, ef_construction=100)
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    names = list(orders(draw(REFERENCE.of_size(500))))
    assert [cells[:2] for cells in rows] == [[target, name] for target in ("0.90", "0.95") for name in names]
    assert all(float(cells[3]) >= float(cells[0]) for cells in rows)
    assert [cells[5] for cells in rows][::3] == ["1.00", "1.00"]
