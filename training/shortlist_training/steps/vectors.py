"""The vectors step: what a trained source's index would hold and be asked, as files, before anything is published."""

from pathlib import Path

import numpy as np

from shortlist_training.errors import ConfigError
from shortlist_training.sources.pdn import PdnSource
from shortlist_training.sources.two_tower import TwoTowerSource
from shortlist_training.steps.learning import Ingested, load_source
from shortlist_training.workspace import Workspace

SEARCHED = ("two_tower", "pdn")
ITEMS, USERS = "items.npy", "users.npy"


def vectors_step(work: Workspace, name: str, out: Path) -> str:
    """Write a trained source's items (I, d) and held-out users (U, d), float32, into `out`; say what there is.

    Scores are inner products. PDN's are those of its direct net. `ConfigError` for a source that has no such vectors or
    that the project does not train.
    """
    if name not in SEARCHED or name not in work.loaded.project.sources():
        message = f"--source {name!r}: use {' or '.join(SEARCHED)}, and give the project its section"
        raise ConfigError(message)
    work.require(f"train.{name}")
    ingested = Ingested(work)
    histories = ingested.histories
    known = [histories.of_user(int(user)) for split in ("validation", "test") for user in histories.members(split)]
    source = load_source(ingested, name)
    assert isinstance(source, TwoTowerSource | PdnSource)  # noqa: S101 - what SEARCHED names
    items, users = source.vectors([history for history in known if len(history)])
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / ITEMS, items, allow_pickle=False)
    np.save(out / USERS, users, allow_pickle=False)
    return f"{out / ITEMS}: {len(items):,} items of {items.shape[1]}; {out / USERS}: {len(users):,} held-out users"
