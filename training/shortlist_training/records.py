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


class SourceReport(msgspec.Struct, frozen=True):
    """How a source's training went. `epochs` as in `TrainReport`, empty where nothing is chosen by validation.

    facts: what else is worth knowing, by name.
    """

    best_epoch: int
    epochs: list[tuple[int, float, float]]
    facts: dict[str, float]


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


class ServedScore(msgspec.Struct, frozen=True):
    """What a running server reaches with one source or profile: metric -> score.

    offline: metric -> what the model's own scores reach over the same items, empty for a profile. index_recall: the
    smallest recall that the bundle states for the source's indices, 1 where it has none.
    """

    served: dict[str, Score]
    offline: dict[str, float]
    index_recall: float


class ServedEvaluation(msgspec.Struct, frozen=True):
    """Test users' recall through a server. by_length: model -> newest interactions sent -> Recall@100."""

    bundle: str
    version: str
    users: int
    models: dict[str, ServedScore]
    by_length: dict[str, dict[str, float]]


class Evaluation(msgspec.Struct, frozen=True):
    """Test users' scores: model -> metric -> score, and what the protocol was.

    ease_lambda is None where the catalogue is too large for EASE. by_history, by_popularity: model -> group ->
    Recall@20, of users by their number of input items ("0": the same users, but nothing is known of them; left out for
    models that find nothing then), and of targets by their popularity's decile (1 is the least popular tenth of the
    items). group_sizes: users, or targets, in each group.
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
