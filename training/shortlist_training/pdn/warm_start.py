"""Starts SimNet at item-based CF instead of at random: the first paths then weigh what EASE gives them."""

import numpy as np
import torch

from shortlist_training.pdn.cooccurrence import BUCKETS, STATISTICS, Edges
from shortlist_training.pdn.model import Pdn

FLOOR = 0.05
"""Least path weight at the start, as a part of the offset: a logarithm needs one."""


def start_from_ease(model: Pdn, cut: Edges, offset: float) -> None:
    """Set hidden unit 0 of SimNet so that e^s_ji = B_ji + offset at first, B_ji being the mean weight of EASE's bucket.

    A user's first score is then EASE's plus the same for every item, n * offset, as far as weights stay above
    -offset: below, a path would have to weigh less than nothing. All other units begin near 0.
    """
    place = STATISTICS.index("ease") * (BUCKETS + 1)
    logarithm = np.log(np.maximum(cut.ease_means + offset, offset * FLOOR))
    lowest = float(logarithm.min())
    sim = model.sim
    with torch.no_grad():
        sim.pair.weight[:, 0] = 0.0
        sim.pair.weight[place + 1 : place + 1 + BUCKETS, 0] = torch.from_numpy(logarithm - lowest + 1.0).float()
        for layer in (sim.trigger, sim.target):
            layer.weight[0] = 0.0
        sim.trigger.bias[0] = 0.0
        sim.out.weight *= 0.1
        sim.out.weight[0, 0] = 1.0
        sim.out.bias.fill_(lowest - 1.0)
