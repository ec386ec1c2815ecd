"""Starts SimNet at item-based CF and the direct net at a matrix factorization instead of at random."""

from dataclasses import dataclass

import msgspec
import numpy as np
import scipy.sparse as sp
import torch
from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-untyped]
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional

from shortlist_training.pdn.cooccurrence import BUCKETS, STATISTICS, Edges
from shortlist_training.pdn.model import ItemField, Pdn, UserField

FLOOR = 0.05
"""Least path weight at the start, as a part of the offset: a logarithm needs one."""

_LEAKY = float(functional.leaky_relu(torch.tensor(-1.0)).neg())


class FactorConfig(msgspec.Struct, frozen=True):
    """iALS (Hu et al. 2008). alpha: confidence of a seen item, 1 for the others."""

    factors: int = 64
    alpha: float = 8.0
    regularization: float = 20.0
    iterations: int = 10


@dataclass(frozen=True)
class Factors:
    """users: (U, k), items: (I, k) float32; their product predicts 1 for what a user has and 0 for all else."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


def factorize(history: sp.csr_matrix, config: FactorConfig, seed: int) -> Factors:
    """Factorize the (U, I) incidence matrix with one thread."""
    with threadpool_limits(1, "blas"):  # or implicit warns
        model = _solver(config, seed)
        model.fit(history, show_progress=False)
    return Factors(np.asarray(model.user_factors, np.float32), np.asarray(model.item_factors, np.float32))


def fold_in(history: sp.csr_matrix, factors: Factors, config: FactorConfig) -> Factors:
    """Solve for users with (U, I) histories while the items' factors stay: theirs and the items'.

    A user without items has zeros. config: the one that `factors` were made with.
    """
    with threadpool_limits(1, "blas"):
        model = _solver(config, 0)
        model.item_factors = factors.items
        people = model.recalculate_user(np.arange(history.shape[0]), history)
    return Factors(np.asarray(people, np.float32), factors.items)


def _solver(config: FactorConfig, seed: int) -> AlternatingLeastSquares:
    return AlternatingLeastSquares(
        factors=config.factors,
        alpha=config.alpha,
        regularization=config.regularization,
        iterations=config.iterations,
        num_threads=1,
        random_state=seed,
    )


def start_from_linear(model: Pdn, cut: Edges, offset: float) -> None:
    """Set hidden unit 0 of SimNet so that a path weighs B_ji + offset, B_ji being the mean weight of the linear bucket.

    A user's first score is then that of EASE and SLIM averaged, plus the same for every item, n * offset, as far
    as weights stay above -offset: below, a path would have to weigh less than nothing. All other units begin without
    effect, and so does TrigNet.
    """
    place = STATISTICS.index("linear") * (BUCKETS + 1)
    logarithm = np.log(np.expm1(np.maximum(cut.linear_means + offset, offset * FLOOR)))
    lowest = float(logarithm.min())
    sim = model.sim
    with torch.no_grad():
        sim.pair.weight[:, 0] = 0.0
        sim.pair.weight[place + 1 : place + 1 + BUCKETS, 0] = torch.from_numpy(logarithm - lowest + 1.0).float()
        for layer in (sim.trigger, sim.target):
            layer.weight[0] = 0.0
        sim.trigger.bias[0] = 0.0
        sim.out.weight.zero_()
        sim.out.weight[0, 0] = 1.0
        sim.out.bias.fill_(lowest - 1.0)
        last = _linear(model.trig)[-1]
        last.weight *= 0.1
        last.bias.zero_()


def start_from_lateness(model: Pdn, power: float) -> None:
    """Set hidden unit 0 of TrigNet so that t_uj grows by power * log lateness; the unit stays where it is linear.

    Raises ValueError where the model has no behaviour field.
    """
    if model.behaviour is None:
        message = "behaviour: the model to start has no such field"
        raise ValueError(message)
    first, last = _linear(model.trig)
    grown = power * model.behaviour.values
    lift = 1.0 - float(grown.min())
    with torch.no_grad():
        model.behaviour.late.weight[:, 0] = grown + lift
        first.weight[0] = 0.0
        first.weight[0, model.users.width + model.items.width] = 1.0
        first.bias[0] = 0.0
        last.weight[0, 0] = 1.0
        last.bias.sub_(lift)


def start_from_factors(model: Pdn, factors: Factors, weight: float) -> None:
    """Make d_ui of eq. 11 `weight` times the product of the factors, and let the direct net learn no more.

    The factors are the ids' embeddings, scaled to a spread of 1; a tower passes them through a unit for each sign,
    which together undo LeakyReLU, and takes nothing from the other fields. Serving may set factors of a newer log.

    Raises ValueError where the factors are not as wide as direct_dim.
    """
    wide = factors.items.shape[1]
    if wide != model.config.direct_dim:
        message = f"direct_dim: {model.config.direct_dim}, but the factors to start from have {wide}"
        raise ValueError(message)
    _pass_through(model.direct_users, model.user_tower, factors.users, weight**0.5)
    _pass_through(model.direct_items, model.item_tower, factors.items, weight**0.5)
    for part in (model.direct_users, model.direct_items, model.user_tower, model.item_tower):
        part.requires_grad_(requires_grad=False)


def _pass_through(field: UserField | ItemField, tower: nn.Sequential, found: NDArray[np.float32], scale: float) -> None:
    spread = float(found.std()) or 1.0  # nobody may have an item
    width = found.shape[1]
    identity = torch.eye(width)
    first, last = _linear(tower)
    with torch.no_grad():
        field.id.weight.copy_(torch.from_numpy(found / spread))
        for parameter in (first.weight, first.bias, last.weight, last.bias):
            parameter.zero_()
        signs: Tensor = torch.cat([identity, -identity])
        first.weight[:, :width] = signs
        last.weight.copy_(signs.T * (spread * scale / (1.0 + _LEAKY)))


def _linear(net: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in net if isinstance(layer, nn.Linear)]
