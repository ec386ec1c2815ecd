"""The project file's sections about what is learned: one frozen struct per step or source. A leaf of `config`."""

from typing import Annotated, Literal

import msgspec

from models.history_weights import HistoryWeights
from shortlist_training.config_data import Fraction, NonNegative, Positive, PositiveFloat, Section, TypeName


class CooccurrenceConfig(Section, frozen=True):
    """Pairs are counted once per timeline (or session), at most `window` positions apart; 0 is no limit.

    Only the last `max_history` interactions of a timeline enter, since pairs grow with the square of its length.
    """

    within: Literal["timeline", "session"] = "timeline"
    window: NonNegative = 0
    max_history: Positive = 500
    min_count: Positive = 2


class SvdConfig(Section, frozen=True):
    """PMI and its randomized SVD (section 5.1 of the LED paper). `positive` clips PMI at 0."""

    dim: Positive = 128
    context_power: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.75
    positive: bool = False
    iterations: Positive = 4


class LedConfig(Section, frozen=True):
    """LED and its training (sections 5.2 to 5.4, 6.2).

    loss: "bpr" predicts held-back targets from inputs; "mult" (full softmax), "mult-css" and "ns" reconstruct all of a
    user's items from those that dropout leaves (section 6.3). "mult" takes time linear in the items and no negatives.
    weighting: "user" gives every user the same weight, "target" every target, which is the likelihood's sum.
    scale: length of the initial item vectors (root mean square), the temperature of the scores. normalize gives all
    of them that length; without it rare and frequent items keep the lengths that the SVD gave them.
    negatives are drawn with probability popularity^negative_power (0 is uniform, as in the paper): one pool per batch,
    which is fastest and needs several hundred, or with negatives_per "user" as in the paper one pool per user.
    patience: checkpoints without a better validation NDCG@100 before training stops.
    threads: of torch. More than one pays only for large d, on cores that nobody else uses.
    input_types, target_types: of the interactions that make an item an input, or a target; all types if empty. Items of
    a held-out user count alike in the evaluation. per_country_biases: learn b_i + b_(i,c) with the sum of all
    b_(i,c)^2 times `country_regularization` added to a batch's loss; memory grows with countries x items.
    type_weights, half_life_days: how much an interaction weighs in a user's mean when the model is evaluated and
    served: 1 for a type that is not named, halved by every half_life_days before the newest. With neither all weigh
    1/T, as in the paper, and as in training, always.
    """

    init: Literal["svd", "random"] = "svd"
    tuning: Literal["train", "project"] = "train"
    loss: Literal["mult", "mult-css", "bpr", "ns"] = "bpr"
    weighting: Literal["user", "target"] = "user"
    scale: PositiveFloat = 1.0
    normalize: bool = True
    epochs: NonNegative = 50
    patience: Positive = 8
    batch_users: Positive = 256
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    negatives: Positive = 1000
    negatives_per: Literal["batch", "user"] = "batch"
    negative_power: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    split_by: Literal["random", "time"] = "random"
    input_share: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.8
    dropout: Fraction = 0.5
    max_targets: Positive = 50
    threads: Positive = 1
    input_types: tuple[TypeName, ...] = ()
    target_types: tuple[TypeName, ...] = ()
    per_country_biases: bool = False
    country_regularization: Annotated[float, msgspec.Meta(ge=0.0)] = 1e-4
    type_weights: dict[TypeName, Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]] = msgspec.field(default_factory=dict)
    half_life_days: Annotated[float, msgspec.Meta(ge=1e-3, le=1e6)] | None = None

    def __post_init__(self) -> None:
        if self.loss == "mult-css" and self.negative_power:
            message = "loss 'mult-css' estimates the softmax from uniform negatives: it needs negative_power = 0"
            raise ValueError(message)

    def history_weights(self) -> HistoryWeights | None:
        """What the encoder's spec says of weights."""
        if not self.type_weights and self.half_life_days is None:
            return None
        return HistoryWeights({str(name): weight for name, weight in self.type_weights.items()}, self.half_life_days)
