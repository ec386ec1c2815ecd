"""How much each interaction of a history weighs in LED's mean, where a bundle's spec says so: by its type and its age.

The paper weighs all alike, 1/T (Koch et al. 2020, section 5.2); so does a spec without weights.
"""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderSpecError
from models.interactions import InteractionType

DAY_MS = 86_400_000
_Weight = Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]
_Days = Annotated[float, msgspec.Meta(ge=1e-3, le=1e6)]


class HistoryWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`w_h = types[type of h] * 2^(-age of h / half_life_days)`.

    types: by name of `models.InteractionType`, 1 where it is not named. half_life_days: None is no ageing.
    """

    types: dict[str, _Weight] = {}
    half_life_days: _Days | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(self.types.keys() - InteractionType.__members__.keys()):
            message = f"weights.types: expected names of {', '.join(InteractionType.__members__)}, found {unknown[0]!r}"
            raise EncoderSpecError(message)

    def of(self, types: NDArray[np.int64], times_ms: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weigh T interactions, at least one: (T,) float32 with the sum T, so that they are a mean's.

        types: (T,) values of `models.InteractionType`, an unknown one counts as unspecified. times_ms: (T,), 0 is not
        known and counts as the oldest that is. Age is counted from the newest interaction: from when does not matter.
        """
        by_type = np.array([self.types.get(kind.name, 1.0) for kind in InteractionType])
        weights = by_type[np.where((types >= 0) & (types < len(by_type)), types, 0)]
        known = times_ms > 0
        if self.half_life_days is not None and known.any():
            times = np.where(known, times_ms, times_ms[known].min())
            weights = weights * np.exp2((times - times.max()) / (self.half_life_days * DAY_MS))
        scaled: NDArray[np.float32] = (weights * (len(weights) / weights.sum())).astype(np.float32)
        return scaled
