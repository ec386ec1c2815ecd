"""What steps leave behind for people and for later steps: the JSON files of a run directory. A leaf."""

import msgspec


class IngestReport(msgspec.Struct, frozen=True):
    """What was read, dropped and kept. `dropped` has (reason, rows) in the order in which the reasons apply.

    `countries` counts interactions. `fingerprint` is the sha256 over the data files.
    """

    read: int
    dropped: list[tuple[str, int]]
    kept: int
    users: int
    items: int
    countries: dict[str, int]
    first_time: str
    last_time: str
    fingerprint: str


class TrainReport(msgspec.Struct, frozen=True):
    """How LED's training went. `epochs` lists (number, loss, validation NDCG@100)."""

    users: int
    items: int
    pairs: int
    best_epoch: int
    epochs: list[tuple[int, float, float]]


class Cost(msgspec.Struct, frozen=True):
    """What a step cost: seconds of wall and CPU time, and the most memory that the process held, in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Score(msgspec.Struct, frozen=True):
    """A mean over users with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


class GreedyLoss(msgspec.Struct, frozen=True):
    """Recall@20 of PDN's greedy retrieval with m triggers and k neighbours of each.

    lost: the share of the whole model's Recall@20 that is not found, paired by user.
    """

    triggers: int
    neighbours: int
    recall: float
    lost: Score


class GreedyReport(msgspec.Struct, frozen=True):
    """What greedy retrieval loses against the whole model, whose Recall@20 over the same users is `whole`."""

    users: int
    whole: float
    losses: list[GreedyLoss]


class SourceReport(msgspec.Struct, frozen=True):
    """How a source's training went. `epochs` as in `TrainReport`, empty where nothing is chosen by validation.

    facts: what else is worth knowing, by name. greedy: PDN's, on validation users.
    """

    best_epoch: int
    epochs: list[tuple[int, float, float]]
    facts: dict[str, float]
    greedy: GreedyReport | None = None


class ServedScore(msgspec.Struct, frozen=True):
    """What a running server reaches with one source or profile: metric -> score.

    offline: metric -> what the model's own scores reach over the same items, empty for a profile. index_recall: the
    smallest recall that the bundle states for the source's indices, 1 where it has none.
    """

    served: dict[str, Score]
    offline: dict[str, float]
    index_recall: float


class ServedEvaluation(msgspec.Struct, frozen=True):
    """Test users' recall through a server.

    by_length: model -> newest interactions sent -> Recall@100; "20+" sends all that a user has, for users who have 20
    and more. length_users: over how many users each is.
    """

    bundle: str
    version: str
    users: int
    models: dict[str, ServedScore]
    by_length: dict[str, dict[str, Score]]
    length_users: dict[str, int]


class Evaluation(msgspec.Struct, frozen=True):
    """Test users' scores: model -> metric -> score, and what the protocol was.

    ease_lambda is None where the catalogue is too large for EASE. by_history, by_popularity: model -> group ->
    Recall@20, of users by their number of input items ("0": the same users, but nothing is known of them; left out for
    models that find nothing then), and of targets by their popularity's decile (1 is the least popular tenth of the
    items). group_sizes: users, or targets, in each group. greedy: what PDN loses at the published m and k.
    """

    models: dict[str, dict[str, Score]]
    test_users: int
    validation_users: int
    input_share: float
    seed: int
    ease_lambda: float | None
    ease_validation: dict[str, float]
    by_history: dict[str, dict[str, float]] = {}
    by_popularity: dict[str, dict[str, float]] = {}
    group_sizes: dict[str, int] = {}
    greedy: GreedyReport | None = None
