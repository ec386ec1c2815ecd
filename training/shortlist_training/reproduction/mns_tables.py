"""Tables, plot and remarks of the MNS reproduction, made of ranks; the paper's numbers stand beside ours."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist_training.reproduction.mns_runs import Measured
from shortlist_training.reproduction.mns_view import ONLINE_RETAIL, View, Words
from shortlist_training.reproduction.parts import Cell, Curve, Plot, ResultTable
from shortlist_training.time_split import RECALL_AT, Group, Recall

PAPER = {  # table 1: Recall@10, 50, 100
    "MLP with sampled softmax": (0.4283, 0.7226, 0.8351),
    "two-tower, batch negatives": (0.3987, 0.6439, 0.7287),
    "two-tower, MNS": (0.4473, 0.7474, 0.8590),
}
PAPER_SWEEP = {  # table 2, by B' / B; 12,000 and 16,000 are 11.7 and 15.6 times B
    1: (0.4473, 0.7474, 0.8590),
    2: (0.4501, 0.7480, 0.8577),
    4: (0.4549, 0.7576, 0.8684),
    8: (0.4780, 0.7877, 0.8939),
    16: (0.4443, 0.7447, 0.8575),
}
MNS, SOFTMAX, BATCH_NEGATIVES = "two-tower, MNS", "MLP with sampled softmax", "two-tower, batch negatives"
MNS_OF_THE_DAY = "two-tower, MNS, index of the training day"
DIFFERENCES = ((MNS, SOFTMAX), (SOFTMAX, BATCH_NEGATIVES), (MNS, BATCH_NEGATIVES))
OURS = ((MNS_OF_THE_DAY, MNS), (MNS_OF_THE_DAY, SOFTMAX), (MNS_OF_THE_DAY, BATCH_NEGATIVES))
MIDDLE = RECALL_AT[1]
RECALL_NAMES = tuple(f"Recall@{k}" for k in RECALL_AT)


def cell(found: Recall) -> Cell | None:
    """Show a recall; None where there was no label."""
    return None if found.value is None else Cell(found.value, found.low, found.high)


def comparison_table(measured: Mapping[str, Measured], view: View, seed: int) -> ResultTable:
    """Table 1: ours beside the paper's."""
    rows = []
    for name, run in measured.items():
        paper = tuple(Cell(value) for value in PAPER[name]) if name in PAPER else (None, None, None)
        ours = tuple(cell(view.recall(run.test, "all", k, seed)) for k in RECALL_AT)
        rows.append((name, (*_sizes(run), *ours, *paper)))
    return ResultTable(
        title="Table 1: samplers with one number of negatives",
        protocol=view.protocol(seed) + " The paper's data are Google Play's: only the order can be compared.",
        columns=("B", "B'", "epochs", *RECALL_NAMES, *(f"paper's {name}" for name in RECALL_NAMES)),
        rows=tuple(rows),
    )


def difference_table(
    measured: Mapping[str, Measured], view: View, pairs: Sequence[tuple[str, str]], seed: int
) -> ResultTable:
    """Differences of models on the same labels: of all items, and of each group at the largest k."""
    groups: tuple[Group, ...] = ("head", "tail", "cold")
    asked: list[tuple[int, Group]] = [(k, "all") for k in RECALL_AT]
    asked += [(RECALL_AT[-1], group) for group in groups]
    rows = tuple(
        (
            f"{left} minus {right}",
            tuple(cell(view.difference(measured[left], measured[right], k, seed, group)) for k, group in asked),
        )
        for left, right in pairs
    )
    columns = (*RECALL_NAMES, *(f"{group} {RECALL_NAMES[-1]}" for group in groups))
    return ResultTable("Differences, paired", view.protocol(seed), columns, rows)


def group_table(measured: Mapping[str, Measured], view: View, seed: int) -> ResultTable:
    """Recall of head, tail and cold items, and of cold items when only these are ranked."""
    groups: tuple[Group, ...] = ("head", "tail", "cold")
    columns = [f"{group} {name}" for group in groups for name in RECALL_NAMES]
    rows = []
    for name, run in measured.items():
        cells = [cell(view.recall(run.test, group, k, seed)) for group in groups for k in RECALL_AT]
        rows.append((name, (*cells, cell(view.recall(run.cold, "cold", RECALL_AT[0], seed)))))
    sizes = {group: int(view.groups[group].sum()) for group in groups}
    labels = {group: int(view.groups[group][view.items].sum()) for group in groups}
    described = ", ".join(f"{group}: {sizes[group]} {view.words.items}, {labels[group]} labels" for group in groups)
    chance = RECALL_AT[0] / max(1, sizes["cold"])
    return ResultTable(
        title="Head, tail and cold items",
        protocol=f"{view.protocol(seed)} Head: the most taken fifth of the {view.words.items} that training has; cold: "
        f"the others. {described}. Last column: only cold {view.words.items} are ranked; chance is {chance:.3f}.",
        columns=(*columns, "cold among cold, Recall@10"),
        rows=tuple(rows),
    )


def sweep_table(measured: Mapping[int, Measured], view: View, batch: int, seed: int) -> ResultTable:
    """Table 2: ours beside the paper's at the same B' / B."""
    rows = []
    for uniform, run in measured.items():
        ours = [cell(view.recall(run.test, "all", k, seed)) for k in RECALL_AT]
        groups = [cell(view.recall(run.test, group, RECALL_AT[-1], seed)) for group in ("head", "tail", "cold")]
        known = uniform % batch == 0 and uniform // batch in PAPER_SWEEP
        paper = [Cell(value) for value in PAPER_SWEEP[uniform // batch]] if known else [None] * 3
        cells = (str(uniform), _epochs(run), Cell(float(run.validation.mean())), *ours, *groups, *paper)
        rows.append((f"B' = {uniform / batch:g} B", cells))
    return ResultTable(
        title=f"Table 2: MNS with B = {batch} and growing B'",
        protocol=f"{view.protocol(seed)} The paper's row for 16 B is its 16,000 at B = 1024.",
        columns=(
            "B'",
            "epochs",
            "validation Recall@50",
            *RECALL_NAMES,
            "head Recall@100",
            "tail Recall@100",
            "cold Recall@100",
            *(f"paper's {name}" for name in RECALL_NAMES),
        ),
        rows=tuple(rows),
    )


def sweep_plot(measured: Mapping[int, Measured], view: View, batch: int, seed: int) -> Plot:
    """Recall against the number of negatives B + B'."""
    curves = []
    for k, name in zip(RECALL_AT, RECALL_NAMES, strict=True):
        found = [cell(view.recall(run.test, "all", k, seed)) or Cell(0.0) for run in measured.values()]
        curves.append(
            Curve(
                label=name,
                x=tuple(float(batch + uniform) for uniform in measured),
                y=tuple(one.value for one in found),
                low=tuple(one.low or 0.0 for one in found),
                high=tuple(one.high or 0.0 for one in found),
            )
        )
    return Plot(
        name="mns-sweep" if view.words is ONLINE_RETAIL else "mns-sweep-movielens",
        title=f"MNS on {view.words.name}, B = {batch}",
        x_label="negatives per row, B + B'",
        y_label="recall",
        log_x=True,
        curves=tuple(curves),
    )


def order_remarks(measured: Mapping[str, Measured], view: View, seed: int) -> tuple[str, ...]:
    """Say of each step of the paper's order whether it came out, by Recall@10/50/100, and with how many seeds."""
    remarks = []
    for left, right in DIFFERENCES:
        found = [view.difference(measured[left], measured[right], k, seed) for k in RECALL_AT]
        shown = ", ".join(f"@{k} {signed(one)}" for k, one in zip(RECALL_AT, found, strict=True))
        ahead = ", ".join(f"@{k} {_ahead(measured[left], measured[right], k)}" for k in RECALL_AT)
        remarks.append(
            f"The paper's {left} > {right} {_verdict(found)}: Recall {shown}. Seeds with {left} ahead: {ahead}."
        )
    return tuple(remarks)


def group_remarks(measured: Mapping[str, Measured], view: View, seed: int) -> tuple[str, ...]:
    """Say in which items the paper's order holds, since the groups pull in different directions."""
    k = RECALL_AT[-1]
    groups: tuple[Group, ...] = ("head", "tail", "cold")
    labels = {group: int(view.groups[group][view.items].sum()) for group in groups}
    remarks = []
    for group in groups:
        found = {
            f"{left} minus {right}": view.difference(measured[left], measured[right], k, seed, group)
            for left, right in DIFFERENCES
        }
        shown = ", ".join(f"{name} {signed(one)}" for name, one in found.items())
        share = labels[group] / max(1, sum(labels.values()))
        remarks.append(f"Why: {group} {view.words.items}, {share:.0%} of the labels, Recall@{k}: {shown}.")
    return tuple(remarks)


def cold_remark(measured: Mapping[str, Measured], view: View, seed: int) -> str:
    """Say what each sampler does to items that had no interactions."""
    k = RECALL_AT[-1]
    found = {name: view.recall(run.test, "cold", k, seed) for name, run in measured.items() if run.train}
    shown = ", ".join(f"{name} {one.value:.4f} [{one.low:.4f}, {one.high:.4f}]" for name, one in found.items())
    return (
        f"Cold products, Recall@{k}: {shown}. Uniform draws from the whole catalogue show products that are not on "
        f"sale yet only as negatives; an index of the training day does not."
    )


def sweep_remarks(measured: Mapping[int, Measured], view: View, batch: int, seed: int) -> tuple[str, ...]:
    """Say where the best B' lies, and whether its lead over both ends of the sweep is more than chance."""
    ordered = list(measured)
    remarks = []
    for k in RECALL_AT:
        best = max(ordered, key=lambda uniform: (measured[uniform].test < k).mean())
        ends = [end for end in (ordered[0], ordered[-1]) if end != best]
        leads = [view.difference(measured[best], measured[end], k, seed) for end in ends]
        place = "at an end of the sweep" if len(ends) == 1 else "inside the sweep"
        shown = " and ".join(f"{signed(lead)} over B' = {end}" for end, lead in zip(ends, leads, strict=True))
        noise = "" if all(lead.low is not None and lead.low > 0 for lead in leads) else " Not more than chance."
        remarks.append(
            f"Recall@{k} is best at B' = {best} ({best / batch:g} B), {place}: {shown}.{noise} The paper's best is 8 B."
        )
    chosen = max(ordered, key=lambda uniform: measured[uniform].validation.mean())
    by_validation = f"Validation Recall@{MIDDLE} would choose B' = {chosen} ({chosen / batch:g} B)."
    return (*remarks, by_validation, _sweep_groups(measured, view, seed), *_spread(measured))


def batches_remark(labels: NDArray[np.int64], batch: int, words: Words) -> str:
    """Say how often batches alone show an item in an epoch, as a negative of others; labels: the training pairs' items.

    What uniform negatives can add is what batches of one catalogue do not show.
    """
    counts = np.unique(labels, return_counts=True)[1]
    return (
        f"Training has {len(labels):,} labels of {len(counts):,} {words.items}: in an epoch half of these are in "
        f"{np.median(counts):g} batches or more, each time as a negative of {batch - 1} others."
    )


def _sweep_groups(measured: Mapping[int, Measured], view: View, seed: int) -> str:
    first, *_, last = measured
    k = RECALL_AT[-1]
    groups: tuple[Group, ...] = ("head", "tail", "cold")
    found = {group: view.difference(measured[last], measured[first], k, seed, group) for group in groups}
    shown = ", ".join(f"{group} {signed(change)}" for group, change in found.items())
    return f"Why: from B' = {first} to B' = {last} Recall@{k} changes by {shown}."


def _spread(measured: Mapping[int, Measured]) -> tuple[str, ...]:
    """Hold the curve against what another seed changes; nothing where there was one seed only."""
    by_seed = np.stack([(run.test < RECALL_AT[-1]).mean(axis=1) for run in measured.values()])
    if by_seed.shape[1] == 1:
        return ()
    within, between = by_seed.std(axis=1, ddof=1).mean(), by_seed.mean(axis=1).std(ddof=1)
    remark = (
        f"Recall@{RECALL_AT[-1]} differs by a standard deviation of {between:.4f} between the points of the curve and "
        f"of {within:.4f} between seeds at one point."
    )
    return (remark,)


def _verdict(found: Sequence[Recall]) -> str:
    if all(one.low is not None and one.low > 0 for one in found):
        return "came out"
    if all(one.high is not None and one.high < 0 for one in found):
        return "came out the other way round"
    return "did not come out clearly"


def signed(found: Recall) -> str:
    """Write a difference with its interval."""
    if found.value is None:
        return "no label"
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _ahead(left: Measured, right: Measured, k: int) -> str:
    better = (left.test < k).mean(axis=1) > (right.test < k).mean(axis=1)
    return f"{int(better.sum())} of {len(better)}"


def _epochs(run: Measured) -> str:
    return ", ".join(str(best) for best in run.best)


def _sizes(run: Measured) -> tuple[str, str, str]:
    if run.train is None:
        return "-", "-", "-"
    uniform = f"{run.train.draws} drawn apart" if run.train.draws else str(run.train.uniform)
    return str(run.train.batch), uniform, _epochs(run)
