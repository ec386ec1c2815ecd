"""The steps of a run, each reading and writing the run directory: ingest, train, evaluate, publish.

The one package that knows the order of things; what it calls is pure apart from the tables it is given.
"""

from shortlist_training.steps.evaluating import evaluate_step, rewrite_report
from shortlist_training.steps.ingesting import ingest_step, is_ingested
from shortlist_training.steps.publishing import bundle_version, publish_step
from shortlist_training.steps.serving import served_step
from shortlist_training.steps.training import TRAINERS, train_step
from shortlist_training.steps.vectors import vectors_step

__all__ = [
    "TRAINERS",
    "bundle_version",
    "evaluate_step",
    "ingest_step",
    "is_ingested",
    "publish_step",
    "rewrite_report",
    "served_step",
    "train_step",
    "vectors_step",
]
