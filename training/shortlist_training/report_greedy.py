"""What a person reads of PDN's greedy retrieval in report.md: its loss over m and k as a table and a plot."""

from shortlist_training.plots import Curve, Plot
from shortlist_training.records import GreedyReport, Score

GREEDY_PLOT = "pdn-greedy-loss"
_TITLE = "Recall@20 that greedy retrieval loses against the whole model"


def greedy_markdown(validation: GreedyReport, test: GreedyReport | None) -> list[str]:
    """Write the section: the grid on validation users, and what the published numbers lose on test users."""
    neighbours = sorted({one.neighbours for one in validation.losses})
    published = test.losses[0] if test is not None else None
    rows = [["m", *(f"k {k}" for k in neighbours)], ["---", *("---:" for _ in neighbours)]]
    for m in sorted({one.triggers for one in validation.losses}):
        found = [one for one in validation.losses if one.triggers == m]
        rows.append([str(m), *(_lost(one.lost) for one in sorted(found, key=lambda one: one.neighbours))])
    lines = [
        "## PDN: what greedy retrieval loses",
        "",
        "Equation 14 follows a user's m triggers of the largest weights to k neighbours of each. Of the whole model's",
        f"Recall@20 on {validation.users} validation users, {validation.whole:.4f}, so much is lost, with the",
        "bootstrap 95 % interval, paired by user. The whole model follows all triggers of the history that it takes to",
        "all of their candidates, and scores all items.",
        "",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    if test is not None and published is not None:
        lines += [
            f"With the published m {published.triggers} and k {published.neighbours} the {test.users} test users lose",
            f"{_lost(published.lost)} of {test.whole:.4f}.",
            "",
        ]
    return [*lines, f"![{_TITLE}]({GREEDY_PLOT}.png)", ""]


def greedy_plot(report: GreedyReport) -> Plot:
    """Draw a curve over m for each k."""
    triggers = sorted({one.triggers for one in report.losses})
    curves = []
    for k in sorted({one.neighbours for one in report.losses}):
        found = sorted((one for one in report.losses if one.neighbours == k), key=lambda one: one.triggers)
        mean, low, high = (
            tuple(100.0 * getattr(one.lost, bound) for one in found) for bound in ("mean", "low", "high")
        )
        curves.append(Curve(f"k {k}", tuple(map(float, range(len(found)))), mean, low, high))
    return Plot(
        GREEDY_PLOT,
        _TITLE,
        "m, triggers that are followed",
        "lost, %",
        curves=tuple(curves),
        x_names=tuple(map(str, triggers)),
    )


def _lost(score: Score) -> str:
    return f"{100 * score.mean:.1f} % [{100 * score.low:.1f}, {100 * score.high:.1f}]"
