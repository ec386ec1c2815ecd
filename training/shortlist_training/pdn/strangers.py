"""PDN for users that it was not trained on: it knows their profiles and what they have, and not who they are."""

import copy

import scipy.sparse as sp
import torch

from shortlist_training.pdn.model import Pdn
from shortlist_training.pdn.warm_start import FactorConfig, Factors, fold_in, start_from_factors


def as_strangers(model: Pdn, told: sp.csr_matrix, factors: Factors, config: FactorConfig) -> Pdn:
    """Copy a model so that of its users it knows nothing but their profiles and the (U, I) items told of them.

    The embedding of a user's id becomes the mean of all users'. A direct net of factors gets those that iALS, with
    `config` and the items' of `factors`, makes of the told items; where there are none d_ui is 0 for all items.
    """
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for field in (changed.users, changed.direct_users):
            field.id.weight.copy_(field.id.weight.mean(dim=0, keepdim=True).expand_as(field.id.weight))
    if model.config.factor_weight is not None:
        start_from_factors(changed, fold_in(told, factors, config), model.config.factor_weight)
    return changed
