"""The project file's sections of the sources beside LED: two_tower, pdn and item_interaction. A leaf of `config`.

A section that is absent, or has `enabled = false`, leaves its source out of the run and of the bundle.
"""

from typing import Annotated, Literal

import msgspec

from shortlist_training.config_data import Fraction, NonNegative, Positive, PositiveFloat, Section, TypeName

Origin = Literal["country", "hour", "weekday", "history_length", "idle_days"]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
OpenShare = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class ContentSettings(Section, frozen=True):
    """What is known of an item: its id, title words, category, merchant and price, embedded.

    id_dim, word_dim, field_dim: widths of an id's, a word's, and any other field's embedding. min_item_count: training
    interactions below which an id is unknown; min_word_count: titles below which a word is. svd_scale: root mean
    square of the ids' first vectors, which are the leading dimensions of LED's PMI-SVD; 0 begins at random.
    """

    id_dim: Positive = 64
    word_dim: Positive = 32
    field_dim: Positive = 8
    min_item_count: Positive = 2
    min_word_count: Positive = 2
    svd_scale: Annotated[float, msgspec.Meta(ge=0.0)] = 0.1


class UserSettings(Section, frozen=True):
    """What is known of a user: these origins, and every column that [users] keeps. dim: width of each embedding.

    context_dropout: how often the times, and how often any one column of [users], is hidden in training, since
    requests may lack them.
    """

    origins: tuple[Origin, ...] = ("country", "hour", "weekday", "history_length", "idle_days")
    dim: Positive = 8
    context_dropout: Share = 0.3


class TwoTowerSettings(Section, frozen=True):
    """Two towers trained with mixed negative sampling (Yang et al. 2020).

    hidden: widths of each tower, the last one K. A training user's timeline is cut into input and target: by time at a
    random place, or at random into `input_share` and the rest; of targets the first (or random) `max_targets` are
    taken. seed_share: how often the newest item of the input is also the seed. empty_share: how often the input is
    empty, for users without history. id_dropout: how often an item's id is hidden, so that content stands for new ones.
    uniform: B', drawn from the whole catalogue beside the batch's own targets. patience: checkpoints without a better
    validation NDCG@100.
    """

    enabled: bool = True
    hidden: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (512, 128)
    split_by: Literal["time", "random"] = "time"
    input_share: OpenShare = 0.8
    max_targets: Positive = 20
    seed_share: Share = 0.5
    empty_share: Share = 0.05
    id_dropout: Fraction = 0.1
    batch_users: Positive = 128
    uniform: NonNegative = 1024
    learning_rate: PositiveFloat = 0.01
    epochs: Positive = 40
    patience: Positive = 5
    max_history: Positive = 100
    threads: Positive = 1
    items: ContentSettings = ContentSettings()
    users: UserSettings = UserSettings()


EASE_MOST_ITEMS = 10_000


class PdnSettings(Section, frozen=True):
    """The path-based deep network (Li et al. 2021), without user ids.

    folds: groups of users whose own log is left out of the statistics that they are trained with. by_log, by_profile:
    candidates of a trigger, from co-occurrence and from alike content. neighbours: k of the published index. triggers:
    m of greedy retrieval; report.md says what other k and m lose. statistic_power: SimNet begins at this power of the
    co-occurrence. pool: target items of a training step, drawn uniformly beside the batch's own; each positive weighs
    as much as all its user's negatives. max_history: of a history in training. activity_power: a user's part in a
    statistic is n_u^-activity_power. ease_lambda: of EASE, whose weight is then one more statistic of a pair; 0 leaves
    it out. It needs a dense items x items matrix, so more than `EASE_MOST_ITEMS` items are refused with it.
    """

    enabled: bool = True
    hidden: Positive = 16
    direct_dim: Positive = 16
    direct: bool = True
    folds: Annotated[int, msgspec.Meta(ge=2)] = 4
    by_log: Positive = 200
    by_profile: NonNegative = 20
    neighbours: Positive = 200
    triggers: Positive = 80
    statistic_power: PositiveFloat = 2.0
    activity_power: Annotated[float, msgspec.Meta(ge=0.0)] = 0.5
    ease_lambda: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    pool: Positive = 256
    max_targets: Positive = 20
    max_history: Positive = 100
    split_by: Literal["time", "random"] = "time"
    input_share: OpenShare = 0.8
    batch_users: Positive = 64
    learning_rate: PositiveFloat = 1e-2
    weight_decay: Annotated[float, msgspec.Meta(ge=0.0)] = 1e-2
    epochs: Positive = 8
    patience: Positive = 4
    threads: Positive = 1
    items: ContentSettings = ContentSettings(id_dim=16, word_dim=16)
    users: UserSettings = UserSettings(origins=("country", "history_length"))

    def __post_init__(self) -> None:
        if not self.users.origins:
            message = "'users.origins' names at least one: PDN knows a user by nothing else"
            raise ValueError(message)


class InteractionSettings(Section, frozen=True):
    """Item-interaction embeddings (Zhao et al. 2019): skip-gram over (item, type) tokens of sessions.

    session_gap_s: pause that ends a session, 0 for none (a session is the whole timeline); None takes [session]'s.
    min_events: shorter sessions are left out. Interactions of one moment are in random order. sources, targets: types
    that begin and end a module; None for all types in the log, and for the strongest of them. CLICK is no type of the
    method and is left out. last_n: most recent pairs of each source type that are looked up.
    """

    enabled: bool = True
    session_gap_s: NonNegative | None = None
    min_events: Annotated[int, msgspec.Meta(ge=2)] = 4
    min_count: Positive = 1
    dim: Positive = 100
    window: Positive = 5
    negatives: Positive = 5
    power: Annotated[float, msgspec.Meta(ge=0.0)] = 0.5
    epochs: Positive = 5
    learning_rate: PositiveFloat = 0.05
    sources: tuple[TypeName, ...] | None = None
    targets: tuple[TypeName, ...] | None = None
    last_n: Positive = 4

    def __post_init__(self) -> None:
        for name, types in (("sources", self.sources), ("targets", self.targets)):
            if types is not None and (not types or "CLICK" in types or len(set(types)) != len(types)):
                message = f"'{name}' names VIEW, FAVORITE, CART or PURCHASE, each once and at least one"
                raise ValueError(message)
