"""The behaviour field a_uj (section 4.2): what a user did with a trigger, as far as the log tells or lets guess."""

import torch
from torch import Tensor, nn

from shortlist_training.pdn.features import Behaviour
from shortlist_training.pdn.lateness import LATE_CODES, late_values


class BehaviourField(nn.Module):
    """E(a_uj): embeddings of the trigger's lateness and of whether it was disliked, concatenated: (L, d_a)."""

    disliked: Tensor
    returned: Tensor
    values: Tensor

    def __init__(self, behaviour: Behaviour, width: int) -> None:
        super().__init__()
        self.count = behaviour.items
        self.register_buffer("disliked", torch.from_numpy(behaviour.disliked))
        self.register_buffer("returned", torch.from_numpy(behaviour.returned))
        self.register_buffer("values", torch.from_numpy(late_values()))
        self.late = nn.Embedding(LATE_CODES + 1, width)
        self.opinion = nn.Embedding(2, width)
        self.width = 2 * width
        for table in (self.late, self.opinion):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, users: Tensor, activity: Tensor, items: Tensor, late: Tensor) -> Tensor:
        """Embed (L,) pairs of user and item rows with the users' (L,) activity codes; `late` is the view's."""
        known = self.late(self.codes(users, late[activity, items]))
        return torch.cat([known, self.opinion(self.dislikes(users, items).long())], dim=1)

    def codes(self, users: Tensor, late: Tensor) -> Tensor:
        """Take codes of lateness, (L,) or (L, P), as int64; 0 for users who are back."""
        known = ~self.returned[users]
        return late.long() * known.view(-1, *([1] * (late.dim() - 1)))

    def dislikes(self, users: Tensor, items: Tensor) -> Tensor:
        """Say which (L,) pairs the training log has as disliked: (L,) bool."""
        pairs = users * self.count + items
        if not len(self.disliked):
            return torch.zeros_like(pairs, dtype=torch.bool)
        place = torch.searchsorted(self.disliked, pairs).clamp_max(len(self.disliked) - 1)
        return self.disliked[place] == pairs

    def selection(self, users: Tensor, activity: Tensor, items: Tensor, late: Tensor) -> Tensor:
        """Give how much likelier each item is to be a random one of the user's than the newest, as a logit: (B, P).

        users, activity: (B,). items: (P,).
        """
        return -self.values[self.codes(users, late[activity][:, items])]
