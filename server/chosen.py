"""What an answer consists of: the best k of a fused list, as diverse as the profile says, filled up from popularity."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.diversity import diversifies, diversify
from server.fusion import Fused
from server.profiles import SourceSetting
from server.resolve import Task
from server.sources.base import Found
from server.sources.popular import popular

_POPULAR = SourceSetting("popular")


class Chosen(msgspec.Struct, frozen=True):
    """What an answer consists of: rows (K,), scores (K,), masks (K,); the last `backfilled` are from popularity."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    masks: NDArray[np.uint32]
    backfilled: int


def choose(task: Task, fused: Fused) -> Chosen:
    """Take k of the fused list, as the profile's diversity says."""
    k, diversity = task.query.k, task.profile.diversity
    if not diversifies(diversity):
        return Chosen(fused.rows[:k], fused.scores[:k], fused.masks[:k], 0)
    catalog = task.country.catalog
    codes = (catalog.category_codes, catalog.merchant_codes)
    places = diversify(fused.rows, fused.scores, k, diversity, codes, task.country.led.vectors[:, :-1])
    return Chosen(fused.rows[places], fused.scores[places], fused.masks[places], 0)


def filled_up(
    task: Task, found: Sequence[Found], chosen: Chosen, missing: int
) -> tuple[tuple[SourceSetting, ...], list[Found], Chosen]:
    """Add the most popular of the other eligible rows, under the bit of popular, with the score of the last row."""
    settings, found = task.settings, list(found)
    more = popular(task.country, missing, task.eligible.without(chosen.rows))
    if not len(more.rows):
        return settings, found, chosen
    bit = next((bit for bit, setting in enumerate(settings) if setting.name == "popular"), len(settings))
    if bit == len(settings):
        settings, found = (*settings, _POPULAR), [*found, more]
    else:
        found[bit] = msgspec.structs.replace(
            found[bit],
            rows=np.concatenate([found[bit].rows, more.rows]),
            scores=np.concatenate([found[bit].scores, more.scores]),
        )
    last, count = chosen.scores[-1] if len(chosen.scores) else np.float32(0.0), len(more.rows)
    return (
        settings,
        found,
        Chosen(
            np.concatenate([chosen.rows, more.rows]),
            np.concatenate([chosen.scores, np.full(count, last, dtype=np.float32)]),
            np.concatenate([chosen.masks, np.full(count, 1 << bit, dtype=np.uint32)]),
            count,
        ),
    )
