"""The publish step: assembles the bundle's content and hands it to the publisher."""

import re
from datetime import UTC, datetime
from pathlib import Path

from index_store.errors import BundleError, VersionExists
from index_store.manifest import NAME_PATTERN
from index_store.publish import publish
from shortlist_training.assemble import Provenance, SourceSet, TrainedItems, assemble
from shortlist_training.errors import ConfigError, TrainingError
from shortlist_training.records import Evaluation, IngestReport
from shortlist_training.sources.item_interaction import InteractionSource
from shortlist_training.steps.learning import Ingested, Progress, load_sources
from shortlist_training.workspace import EVALUATE, Workspace


def bundle_version(wanted: str | None) -> str:
    """Check a version name, or make one of the UTC time; `ConfigError` if it cannot name a directory of the format."""
    name = wanted or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if not re.fullmatch(NAME_PATTERN, name):
        message = (
            f"--version {name[:40]!r}: use 1 to 128 letters, digits, '.', '_' and '-', not beginning with '.' or '-'"
        )
        raise ConfigError(message)
    return name


def publish_step(work: Workspace, bundles: Path, version: str | None, progress: Progress) -> Path:
    """Assemble the bundle's content and publish it; `TrainingError` if the publisher refuses it."""
    project = work.loaded.project
    name = bundle_version(version)
    work.require(EVALUATE)
    ingested = Ingested(work)
    evaluation = work.json("metrics.json", Evaluation)
    progress("assembling", 0, 0)
    content = assemble(
        ingested.log,
        ingested.histories,
        ingested.catalogue,
        TrainedItems(
            ingested.vocabulary,
            work.array("led_vectors.npy"),
            work.array("led_biases.npy"),
            work.array("led_country_biases.npy"),
            project.led.history_weights(),
        ),
        _source_set(ingested),
        project.publish,
        Provenance(
            data_fingerprint=work.json("ingest.json", IngestReport).fingerprint,
            seed=project.seed,
            metrics={model: {k: s.mean for k, s in scores.items()} for model, scores in evaluation.models.items()},
            config=work.loaded.source,
        ),
        lambda code, done, total: progress(f"assembling {code}", done, total),
    )
    try:
        return publish(
            content, root=bundles, name=project.name, version=name, policy=project.index_policy(), progress=progress
        )
    except BundleError as error:
        message = f"the bundle was refused: {error}"
        raise TrainingError(message) from error
    except VersionExists as error:
        raise TrainingError(str(error)) from error


def _source_set(ingested: Ingested) -> SourceSet:
    sources = load_sources(ingested)
    pairs = sources.get("item_interaction")
    settings = ingested.work.loaded.project.pdn
    return SourceSet(
        sources,
        settings.triggers if settings is not None else SourceSet.pdn_triggers,
        pairs.policy if isinstance(pairs, InteractionSource) else None,
    )
