"""WMF, weighted matrix factorization by alternating least squares (Hu et al. 2008, "iALS"), through `implicit`."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-untyped]
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shortlist_training.metrics import Scorer


@dataclass(frozen=True)
class WmfConfig:
    """Factors, confidence of a seen item (`alpha`; 1 for the others), L2 penalty and sweeps."""

    factors: int = 64
    alpha: float = 1.0
    regularization: float = 10.0
    iterations: int = 15


def wmf(matrix: sp.csr_matrix, config: WmfConfig, seed: int, threads: int) -> Scorer:
    """Factorize the training users' (U, I) matrix. Users at test time are solved for, given the item factors."""
    model = _solver(config, seed, threads)
    with threadpool_limits(1, "blas"):  # implicit has threads of its own, and they get in each other's way
        model.fit(matrix, show_progress=False)

    def score(inputs: sp.csr_matrix) -> NDArray[np.float32]:
        with threadpool_limits(1, "blas"):
            users = model.recalculate_user(np.arange(inputs.shape[0]), inputs)
        return np.asarray(users @ model.item_factors.T, dtype=np.float32)

    return score


def _solver(config: WmfConfig, seed: int, threads: int) -> AlternatingLeastSquares:
    with threadpool_limits(1, "blas"):  # or the constructor warns
        return AlternatingLeastSquares(
            factors=config.factors,
            alpha=config.alpha,
            regularization=config.regularization,
            iterations=config.iterations,
            num_threads=threads,
            random_state=seed,
        )
