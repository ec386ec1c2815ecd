"""What a person reads at the end of a step: tables on the console and the run's report.md. Formatting only."""

from pathlib import Path

from rich.table import Table

from shortlist_training.records import Evaluation, IngestReport, Score

NAMES = ("recall@20", "recall@50", "ndcg@100")
MODEL_NAMES = {"popularity": "Popularity", "pmi-svd": "PMI-SVD alone", "led": "LED", "ease": "EASE"}


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


def evaluation_markdown(evaluation: Evaluation, best_epoch: int, name: str) -> str:
    """Write the run's report.md."""
    header = ["model", *(_metric(metric) for metric in NAMES)]
    rows = [
        [MODEL_NAMES[model], *(_cell(scores[metric]) for metric in NAMES)]
        for model, scores in evaluation.models.items()
    ]
    share = evaluation.input_share
    lines = [
        f"# {name}: offline evaluation",
        "",
        _markdown_row(header),
        _markdown_row(["---", *("---:" for _ in NAMES)]),
        *(_markdown_row(row) for row in rows),
        "",
        f"{ratios(evaluation)}.",
        "",
        "Protocol: strong generalisation (Liang et al. 2018). Users are split into training, validation and test;",
        f"nothing of a held-out user is trained on. {share:.0%} of a test user's distinct items, taken at random, are",
        "the input; the others are to be found among all items that training users interacted with, input items",
        "excluded. Items that no training user has are left out.",
        "Recall@k = hits in the top k / min(k, targets).",
        "",
        f"Test users: {evaluation.test_users}. Validation users: {evaluation.validation_users}. The latter chose LED's",
        f"checkpoint (epoch {best_epoch}) {_ease_choice(evaluation)} by NDCG@100.",
        f"Seed {evaluation.seed}. In brackets: bootstrap 95 % interval over test users.",
        "",
    ]
    return "\n".join(lines)


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
