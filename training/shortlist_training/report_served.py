"""What a person reads of `evaluate --serve`: served beside offline recall, and what users with little history get."""

from rich.table import Table

from shortlist_training.records import ServedEvaluation
from shortlist_training.report import MODEL_NAMES


def served_tables(evaluation: ServedEvaluation) -> list[Table]:
    """Show recall by source, and Recall@100 by how much of the history the server is told."""
    return [_recalls(evaluation), _lengths(evaluation)]


def _recalls(evaluation: ServedEvaluation) -> Table:
    title = (
        f"{evaluation.bundle}/{evaluation.version}: {evaluation.users} test users through the server; "
        "bootstrap 95 % interval, and offline over the same items"
    )
    table = Table(title=title, title_justify="left")
    metrics = list(next(iter(evaluation.models.values())).served)
    for name in ("source", *metrics, "recall of its indices"):
        table.add_column(name, justify="left" if name == "source" else "right")
    for model, score in evaluation.models.items():
        cells = []
        for metric in metrics:
            served = score.served[metric]
            offline = f" / {score.offline[metric]:.3f}" if metric in score.offline else ""
            cells.append(f"{served.mean:.3f}{offline} [{served.low:.3f}, {served.high:.3f}]")
        table.add_row(_name(model), *cells, f"{score.index_recall:.3f}" if score.offline else "")
    return table


def _lengths(evaluation: ServedEvaluation) -> Table:
    title = (
        "Recall@100 by how many newest interactions are sent, bootstrap 95 % interval; n+: all that a user has, of "
        "users who have as many"
    )
    table = Table(title=title, title_justify="left")
    for name in ("sent", "users", *map(_name, evaluation.by_length)):
        table.add_column(name, justify="left" if name == "sent" else "right")
    for length, users in evaluation.length_users.items():
        found = (score[length] for score in evaluation.by_length.values())
        cells = (f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in found)
        table.add_row(length, f"{users:,}", *cells)
    return table


def _name(model: str) -> str:
    return MODEL_NAMES.get(model, "default profile" if model == "fused" else model)
