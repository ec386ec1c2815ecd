"""TrigNet and the direct user tower as ONNX, compared with the torch model, hundreds of triggers in one call."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.content import EncoderContent
from models.features import FeatureTransform, Transforms
from models.interactions import InteractionType
from models.pdn import direct_inputs, triggers_of, trignet_inputs
from models.spec import pdn_user_spec, trignet_spec
from shortlist_training.export import OPSET
from shortlist_training.pdn.serving_model import ServedPdn
from shortlist_training.sources.graphs import export_encoder, run_torch
from shortlist_training.two_tower.serving_export import example_context

PARITY_TRIGGERS = 200
PARITY_USERS = (4, 1)


def export_pdn(
    model: ServedPdn,
    trigger_vectors: NDArray[np.float32],
    transforms: Sequence[FeatureTransform],
    max_history: int,
    seed: int,
) -> Mapping[str, EncoderContent]:
    """Export `trignet` and `pdn_user`; `ExportError` if they are not what was trained."""
    made = Transforms(transforms)
    contexts = [[example_context(transforms, user) for user in range(size)] for size in PARITY_USERS]
    rng = np.random.default_rng(seed)
    examples = []
    for people in contexts:
        lengths = [PARITY_TRIGGERS] + [1] * (len(people) - 1)
        triggers = [
            triggers_of(
                rng.integers(len(trigger_vectors), size=length),
                rng.integers(1, len(InteractionType), size=length),
                PARITY_TRIGGERS,
            )
            for length in lengths
        ]
        examples.append(trignet_inputs(trigger_vectors, triggers, people, made))
    trignet = trignet_spec(trigger_vectors.shape[1], tuple(transforms), max_history, OPSET)
    direct = pdn_user_spec(model.direct_user.dim, tuple(transforms), max_history, OPSET)
    return {
        "trignet": export_encoder(model.trignet, trignet, examples, run_torch(model.trignet, trignet)),
        "pdn_user": export_encoder(
            model.direct_user,
            direct,
            [direct_inputs(people, made) for people in contexts],
            run_torch(model.direct_user, direct),
        ),
    }
