"""What a person reads at the end of a step: tables on the console and the run's report.md. Formatting only."""

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from shortlist_training.groups import decile_groups, length_groups
from shortlist_training.records import Cost, Evaluation, IngestReport, Score, SourceReport, TrainReport
from shortlist_training.report_greedy import greedy_markdown

NAMES = ("recall@20", "recall@50", "ndcg@100")
MODEL_NAMES = {
    "popularity": "Popularity",
    "pmi-svd": "PMI-SVD alone",
    "led": "LED",
    "two_tower": "Two-tower",
    "pdn": "PDN",
    "item_interaction": "Item-interaction",
    "ease": "EASE",
}


def ingest_tables(report: IngestReport) -> list[Table]:
    """Show what was kept, what was dropped and why, and what is left per country."""
    dropped = Table(title="Rows of the log", title_justify="left")
    dropped.add_column("reason")
    dropped.add_column("rows", justify="right")
    dropped.add_row("read", f"{report.read:,}")
    for reason, rows in report.dropped:
        dropped.add_row(f"dropped: {reason}", f"{rows:,}")
    dropped.add_row("kept", f"{report.kept:,}", style="bold")
    kept = Table(title="Kept", title_justify="left")
    for name in ("users", "items", "countries", "from", "to"):
        kept.add_column(name, justify="right")
    days = report.first_time[:10], report.last_time[:10]
    kept.add_row(f"{report.users:,}", f"{report.items:,}", str(len(report.countries)), *days)
    countries = Table(title="Interactions per country", title_justify="left")
    countries.add_column("country")
    countries.add_column("interactions", justify="right")
    for code, rows in sorted(report.countries.items(), key=lambda entry: (-entry[1], entry[0])):
        countries.add_row(code, f"{rows:,}")
    return [dropped, kept, countries]


def training_line(report: TrainReport | SourceReport) -> str:
    """Say how a source's training went, in one line."""
    sizes = (
        f"{report.users:,} users, {report.items:,} items, {report.pairs:,} pairs; "
        if isinstance(report, TrainReport)
        else ""
    )
    if not report.epochs:
        return (
            ", ".join(f"{value:,.0f} {name}" for name, value in report.facts.items())
            if isinstance(report, SourceReport)
            else sizes
        )
    best = next(ndcg for number, _, ndcg in report.epochs if number == report.best_epoch)
    return f"{sizes}best epoch {report.best_epoch} of {report.epochs[-1][0]}, validation NDCG@100 {best:.4f}"


def evaluation_table(evaluation: Evaluation) -> Table:
    """Show every model's metrics with their intervals."""
    title = f"{evaluation.test_users} test users, seed {evaluation.seed}; mean and bootstrap 95 % interval"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for name in NAMES:
        table.add_column(_metric(name), justify="right")
    for model, scores in evaluation.models.items():
        table.add_row(MODEL_NAMES[model], *(_cell(scores[name]) for name in NAMES))
    return table


def ratios(evaluation: Evaluation) -> str:
    """Say how LED's Recall@20 compares, in one line."""
    recall = {model: scores["recall@20"].mean for model, scores in evaluation.models.items()}
    against = [
        f"{recall['led'] / recall[other]:.2f} x {other}" for other in ("popularity", "ease") if recall.get(other)
    ]
    return f"LED Recall@20 is {' and '.join(against)}"


def costs_table(costs: Mapping[str, Cost]) -> Table:
    """Show what each step cost when it was last done."""
    table = Table(title="Training figures", title_justify="left")
    for name in COST_NAMES:
        table.add_column(name, justify="left" if name == "step" else "right")
    for row in _cost_rows(costs):
        table.add_row(*row)
    return table


COST_NAMES = ("step", "wall s", "CPU s", "peak memory MiB")


def _cost_rows(costs: Mapping[str, Cost]) -> list[list[str]]:
    rows = [[step, f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mib:,.0f}"] for step, cost in costs.items()]
    wall, cpu = (sum(getattr(cost, name) for cost in costs.values()) for name in ("wall_s", "cpu_s"))
    most = max((cost.peak_mib for cost in costs.values()), default=0.0)
    return [*rows, ["all", f"{wall:.1f}", f"{cpu:.1f}", f"{most:,.0f}"]]


def evaluation_markdown(
    evaluation: Evaluation,
    best_epoch: int,
    name: str,
    sources: Mapping[str, SourceReport] | None = None,
    costs: Mapping[str, Cost] | None = None,
) -> str:
    """Write the run's report.md."""
    rows = [
        [MODEL_NAMES[model], *(_cell(scores[metric]) for metric in NAMES)]
        for model, scores in evaluation.models.items()
    ]
    parts = [
        [f"# {name}: offline evaluation", ""],
        _markdown_table(["model", *(_metric(metric) for metric in NAMES)], rows),
        [f"{ratios(evaluation)}.", ""],
        _protocol(evaluation, best_epoch, sources or {}),
        _groups(evaluation),
        *(greedy_markdown(one.greedy, evaluation.greedy) for one in (sources or {}).values() if one.greedy),
        _facts(sources or {}),
    ]
    if costs:
        parts += [["## Training figures", ""], _markdown_table([*COST_NAMES], _cost_rows(costs))]
    return "\n".join(line for part in parts for line in part)


def _protocol(evaluation: Evaluation, best_epoch: int, sources: Mapping[str, SourceReport]) -> list[str]:
    share = evaluation.input_share
    epochs = "".join(
        f", {MODEL_NAMES[source]}'s epoch {report.best_epoch}" for source, report in sources.items() if report.epochs
    )
    return [
        "Protocol: strong generalisation (Liang et al. 2018). Users are split into training, validation and test;",
        f"nothing of a held-out user is trained on. {share:.0%} of a test user's distinct items, taken at random, are",
        "the input; the others are to be found among all items that training users interacted with, input items",
        "excluded. Items that no training user has are left out. Sources other than LED are measured in their served",
        "form: limited histories, greedy paths, the last pairs; an hour after the newest interaction, without a seed",
        "item.",
        "Recall@k = hits in the top k / min(k, targets).",
        "",
        f"Test users: {evaluation.test_users}. Validation users: {evaluation.validation_users}. The latter chose LED's",
        f"checkpoint (epoch {best_epoch}){epochs} {_ease_choice(evaluation)} by NDCG@100.",
        f"Seed {evaluation.seed}. In brackets: bootstrap 95 % interval over test users.",
        "",
    ]


def _groups(evaluation: Evaluation) -> list[str]:
    if not evaluation.by_history:
        return []
    models = list(evaluation.models)
    names = [MODEL_NAMES[model] for model in models]
    sizes = evaluation.group_sizes

    def table(groups: list[str], kind: str, values: Mapping[str, Mapping[str, float]]) -> list[str]:
        rows = []
        for group in groups:
            size = evaluation.test_users if group == "0" else sizes.get(f"{kind} {group}", 0)
            found = [values[model].get(group) for model in models]
            if size:
                rows.append([group, str(size), *("-" if one is None else f"{one:.3f}" for one in found)])
        return _markdown_table([kind, "users" if kind == "length" else "targets", *names], rows)

    return [
        "## Recall@20 by history length",
        "",
        "Length 0: the same users and targets, but of the user only the country and features are known. A source that",
        "answers no empty history has none; the server falls back to popularity then.",
        "",
        *table(["0", *length_groups()], "length", evaluation.by_history),
        "## Recall@20 by popularity of the target",
        "",
        "Decile 1 is the least popular tenth of the items. Share of the decile's targets in the top 20.",
        "",
        *table(decile_groups(), "decile", evaluation.by_popularity),
    ]


def _facts(sources: Mapping[str, SourceReport]) -> list[str]:
    rows = [
        [MODEL_NAMES[source], name, f"{value:.4g}"]
        for source, one in sources.items()
        for name, value in one.facts.items()
    ]
    return ["## Measured on validation users", "", *_markdown_table(["source", "what", "value"], rows)] if rows else []


def _markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in header[1:])]
    return [*(_markdown_row(cells) for cells in (header, ruler, *rows)), ""]


def _ease_choice(evaluation: Evaluation) -> str:
    if evaluation.ease_lambda is None:
        return "(EASE is left out: the catalogue is larger than evaluate.ease_max_items)"
    return f"and EASE's lambda ({evaluation.ease_lambda:g}), both"


def published_line(bundle: Path) -> str:
    """Say where the bundle is."""
    return f"published {bundle}; CURRENT points at it"


def _metric(name: str) -> str:
    return name.replace("recall", "Recall").replace("ndcg", "NDCG")


def _cell(score: Score) -> str:
    return f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
