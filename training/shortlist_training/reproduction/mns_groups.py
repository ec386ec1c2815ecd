"""Whom and what the MNS models serve well: recall by told history and by popularity of the product."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist_training.metrics import DECILES, deciles
from shortlist_training.reproduction.mns_runs import Measured
from shortlist_training.reproduction.mns_tables import RECALL_NAMES, cell
from shortlist_training.reproduction.mns_view import View
from shortlist_training.reproduction.parts import Cell, Curve, Plot, ResultTable
from shortlist_training.time_split import RECALL_AT, Recall

SHOWN = (RECALL_AT[-1], RECALL_NAMES[-1])


def history_table(
    measured: Mapping[str, Measured], view: View, history: int, known: NDArray[np.int64], seed: int
) -> tuple[ResultTable, Plot]:
    """Recall@100 when queries are told fewer products than the last `history`, which is all that a query keeps.

    known: (queries,), how many of these the test queries have.
    """
    k, name = SHOWN
    lengths = list(next(iter(measured.values())).told)
    columns = (*(str(length) for length in lengths), f"{history}+")
    rows = []
    for model, run in measured.items():
        found = [view.recall(ranks, "all", k, seed) for ranks in (*run.told.values(), run.test)]
        rows.append((model, found))
    enough = ", ".join(f"{(known >= length).sum()} have {length}" for length in (*lengths, history) if length)
    title = f"{name} by length of the history"
    note = (
        " Columns: how many of the customer's last products, with their titles, the query is told; 0 leaves country, "
        "time and how often the customer came. Whom and what is ranked stays the same. "
        f"{history}+: the last {history}, which is all that a query keeps. A query with fewer is told what there is; "
        f"of the {len(known)} queries {enough} or more."
    )
    table = ResultTable(title, view.protocol(seed) + note, columns, _cells(rows))
    x = tuple(float(place) for place in range(len(columns)))
    plot = _plot("mns-history-length", title, "products told", x, rows)
    return table, msgspec.structs.replace(plot, x_names=columns)


def decile_table(
    measured: Mapping[str, Measured], view: View, counts: NDArray[np.int64], seed: int
) -> tuple[ResultTable, Plot]:
    """Recall@100 by decile of the catalogue in training interactions; 1 is the least bought tenth."""
    k, name = SHOWN
    of_label = deciles(counts)[view.items]
    known = [decile for decile in range(DECILES) if (of_label == decile).any()]
    rows = [
        (model, [view.recall_of(run.test, of_label == decile, k, seed) for decile in known])
        for model, run in measured.items()
    ]
    labels = ", ".join(str(int((of_label == decile).sum())) for decile in known)
    title = f"{name} by popularity of the product"
    note = (
        f" Deciles of the {len(counts)} products by training purchases, 1 the least bought tenth with the "
        f"{int((counts == 0).sum())} cold ones. Labels per decile: {labels}."
    )
    columns = tuple(str(decile + 1) for decile in known)
    table = ResultTable(title, view.protocol(seed) + note, columns, _cells(rows))
    return table, _plot("mns-popularity", title, "popularity decile", tuple(decile + 1.0 for decile in known), rows)


def _cells(rows: list[tuple[str, list[Recall]]]) -> tuple[tuple[str, tuple[Cell | None, ...]], ...]:
    return tuple((model, tuple(cell(one) for one in found)) for model, found in rows)


def _plot(name: str, title: str, x_label: str, x: tuple[float, ...], rows: list[tuple[str, list[Recall]]]) -> Plot:
    curves = tuple(
        Curve(
            model,
            x,
            tuple(one.value or 0.0 for one in found),
            tuple(one.low or 0.0 for one in found),
            tuple(one.high or 0.0 for one in found),
        )
        for model, found in rows
    )
    return Plot(name, title, x_label, SHOWN[1], curves=curves)
