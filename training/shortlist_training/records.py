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
    """How training went. `epochs` lists (number, loss, validation NDCG@100)."""

    users: int
    items: int
    pairs: int
    best_epoch: int
    epochs: list[tuple[int, float, float]]


class Score(msgspec.Struct, frozen=True):
    """A mean over users with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


class Evaluation(msgspec.Struct, frozen=True):
    """Test users' scores: model -> metric -> score, and what the protocol was.

    ease_lambda is None where the catalogue is too large for EASE.
    """

    models: dict[str, dict[str, Score]]
    test_users: int
    validation_users: int
    input_share: float
    seed: int
    ease_lambda: float | None
    ease_validation: dict[str, float]
