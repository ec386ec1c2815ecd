"""The query tower as ONNX, compared with the torch model on batches of one and several, with and without everything."""

from collections.abc import Sequence

import numpy as np

from index_store.content import EncoderContent
from models.features import FeatureTransform, Transforms, UserContext
from models.spec import two_tower_spec
from models.two_tower import NO_SEED, two_tower_inputs
from shortlist_training.export import OPSET
from shortlist_training.sources.graphs import export_encoder, run_torch
from shortlist_training.two_tower.serving_model import ServedTwoTower
from shortlist_training.two_tower.serving_train import input_vectors

PARITY_BATCHES = (5, 1)
SOME_TIME_MS = 1_700_000_000_000


def export_query_tower(
    model: ServedTwoTower, transforms: Sequence[FeatureTransform], max_history: int, seed: int
) -> EncoderContent:
    """Export the query tower; `ExportError` if it is not what was trained."""
    vectors = input_vectors(model)
    spec = two_tower_spec(vectors.shape[1], model.query.dim, tuple(transforms), max_history, OPSET)
    rng, made = np.random.default_rng(seed), Transforms(transforms)
    examples = [
        two_tower_inputs(
            vectors,
            [rng.integers(len(vectors), size=length) for length in _lengths(size, max_history)],
            [int(rng.integers(len(vectors))) if user % 2 else NO_SEED for user in range(size)],
            [example_context(transforms, user) for user in range(size)],
            made,
            max_history,
        )
        for size in (*PARITY_BATCHES, 1)
    ]
    # a lone user without anything
    examples.append(
        two_tower_inputs(vectors, [np.zeros(0, dtype=np.int64)], [NO_SEED], [UserContext("")], made, max_history)
    )
    return export_encoder(model.query, spec, examples, run_torch(model.query, spec))


def example_context(transforms: Sequence[FeatureTransform], number: int) -> UserContext:
    """Make up a user; by number: everything known, values that training did not know, nothing known."""
    known = number % 3 == 0
    if number % 3 == 2:  # noqa: PLR2004
        return UserContext("")
    features = {
        each.key: 1.5 if each.kind != "category" else (each.values[0] if known else "?")
        for each in transforms
        if each.origin == "feature"
    }
    countries = [each.values[0] for each in transforms if each.origin == "country" and each.values]
    return UserContext(countries[0] if known and countries else "??", SOME_TIME_MS, SOME_TIME_MS - 1, 3, features)


def _lengths(size: int, max_history: int) -> list[int]:
    return [(0, 3, max_history + 5, 1, 7)[user % 5] for user in range(size)] if size > 1 else [4]
