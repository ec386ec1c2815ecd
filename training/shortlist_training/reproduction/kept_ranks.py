"""Places that methods were measured to give, kept in a part's work folder: an interrupted part does not rank again."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from shortlist_training.leave_one_out import Ranks


def kept(work: Path, name: str, measure: Callable[[], Mapping[str, Ranks]]) -> dict[str, Ranks]:
    """Give what `measure` gave when it ran first for this name: each method's places, in its order."""
    path = work / f"{name}.npz"
    if not path.is_file():
        found = measure()
        draft = path.with_name(f"draft-{path.name}")
        np.savez(
            draft,
            names=np.array(list(found)),
            sampled=np.stack([places.sampled for places in found.values()]),
            all=np.stack([places.all for places in found.values()]),
        )
        draft.rename(path)
    with np.load(path, allow_pickle=False) as arrays:
        rows = zip(arrays["names"].tolist(), arrays["sampled"], arrays["all"], strict=True)
        return {method: Ranks(sampled, full) for method, sampled, full in rows}
