"""The project file: one TOML that describes a data set and how to learn from it, decoded into frozen structs.

First in the dataflow. Every later step takes a part of `Project` as an argument and reads no other setting.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec

from index_store.content import IndexPolicy
from models.interactions import InteractionType
from shortlist_training.errors import ConfigError, DataError

Fraction = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NonNegative = Annotated[int, msgspec.Meta(ge=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0.0)]
TypeName = Literal["VIEW", "CLICK", "FAVORITE", "CART", "PURCHASE"]
Country = Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")]
Scalar = str | int | float | bool


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class TypeSource(_Section, frozen=True):
    """Where an interaction's type comes from: one constant, or a column whose every value is mapped to a type."""

    constant: TypeName | None = None
    column: str | None = None
    mapping: dict[str, TypeName] = {}

    def __post_init__(self) -> None:
        if (self.constant is None) == (self.column is None):
            message = "give exactly one of 'constant' and 'column'"
            raise ValueError(message)
        if self.column is not None and not self.mapping:
            message = "'column' needs a 'mapping' from its values to VIEW, CLICK, FAVORITE, CART or PURCHASE"
            raise ValueError(message)


class CountrySource(_Section, frozen=True):
    """Where an interaction's country comes from. Without a mapping the column must hold two-letter codes already."""

    constant: Country | None = None
    column: str | None = None
    mapping: dict[str, Country] = {}

    def __post_init__(self) -> None:
        if (self.constant is None) == (self.column is None):
            message = "give exactly one of 'constant' and 'column'"
            raise ValueError(message)


class InteractionTable(_Section, frozen=True):
    """The log. `path` is relative to the project file. An integer `time` column counts `time_unit`s since 1970.

    item_type "string" keeps keys such as 00123 as they are where a CSV reader would guess a number.
    """

    path: str
    user: str
    item: str
    time: str
    type: TypeSource
    country: CountrySource
    time_unit: Literal["s", "ms"] = "s"
    quantity: str | None = None
    deduplicate: list[str] = []
    item_case: Literal["keep", "upper", "lower"] = "keep"
    item_type: Literal["auto", "string", "integer"] = "auto"


class ItemAttributes(_Section, frozen=True):
    """Columns that describe items: of the table at `path`, or without one of the interaction table itself.

    Where an item has several values, the most frequent wins and ties go to the smallest.
    """

    path: str | None = None
    item: str | None = None
    title: str | None = None
    merchant: str | None = None
    category: str | None = None
    price: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) != (self.item is None):
            message = "'path' and 'item' (the table's key column) go together"
            raise ValueError(message)

    def columns(self) -> dict[str, str]:
        """Map our attribute names to the table's columns, only those that are there."""
        named = {"title": self.title, "merchant": self.merchant, "category": self.category, "price": self.price}
        return {name: column for name, column in named.items() if column is not None}


class UserTable(_Section, frozen=True):
    """A table with one row per user; `keep` names the columns carried into the run directory."""

    path: str
    user: str
    keep: list[str]


class DropRule(_Section, frozen=True):
    """Rows of the log that match are left out and counted under `name`. Exactly one condition; null never matches."""

    name: str
    column: str
    matches: str | None = None
    is_null: Literal[True] | None = None
    at_most: float | None = None
    at_least: float | None = None
    equals: Scalar | None = None
    any_of: list[Scalar] | None = msgspec.field(default=None, name="in")

    def __post_init__(self) -> None:
        conditions = (self.matches, self.is_null, self.at_most, self.at_least, self.equals, self.any_of)
        if sum(condition is not None for condition in conditions) != 1:
            message = f"rule '{self.name}' needs exactly one of matches, is_null, at_most, at_least, equals, in"
            raise ValueError(message)
        if self.matches is not None:
            try:
                re.compile(self.matches)
            except re.error as error:
                message = f"rule '{self.name}': 'matches' is not a regular expression: {error}"
                raise ValueError(message) from error


class SessionConfig(_Section, frozen=True):
    """A session ends where a user pauses for longer than `gap_s` seconds."""

    gap_s: Positive = 1800


class SplitConfig(_Section, frozen=True):
    """Users for validation and test. Only users with at least `min_items` distinct items are held out."""

    validation: Fraction = 0.1
    test: Fraction = 0.1
    min_items: Annotated[int, msgspec.Meta(ge=2)] = 5


class CooccurrenceConfig(_Section, frozen=True):
    """Pairs are counted once per timeline (or session), at most `window` positions apart; 0 is no limit.

    Only the last `max_history` interactions of a timeline enter, since pairs grow with the square of its length.
    """

    within: Literal["timeline", "session"] = "timeline"
    window: NonNegative = 0
    max_history: Positive = 500
    min_count: Positive = 2


class SvdConfig(_Section, frozen=True):
    """PMI and its randomized SVD (section 5.1 of the LED paper). `positive` clips PMI at 0."""

    dim: Positive = 128
    context_power: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.75
    positive: bool = False
    iterations: Positive = 4


class LedConfig(_Section, frozen=True):
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

    def __post_init__(self) -> None:
        if self.loss == "mult-css" and self.negative_power:
            message = "loss 'mult-css' estimates the softmax from uniform negatives: it needs negative_power = 0"
            raise ValueError(message)


class EvaluateConfig(_Section, frozen=True):
    """Strong generalisation: `input_share` of a held-out user's items are the input, the rest is to be found.

    EASE needs memory quadratic and time cubic in the items, so it is left out above `ease_max_items`.
    """

    input_share: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.8
    ease_lambdas: Annotated[tuple[PositiveFloat, ...], msgspec.Meta(min_length=1)] = (50.0, 100.0, 200.0, 400.0, 800.0)
    ease_max_items: NonNegative = 10_000
    bootstrap: Positive = 1000


class PublishConfig(_Section, frozen=True):
    """What goes into the bundle. `min_interactions` is per country and counts all users."""

    min_interactions: Positive = 1
    max_history: Positive = 100
    golden_per_country: NonNegative = 5
    golden_k: Positive = 100
    calibration_queries: Positive = 200
    timelines: NonNegative = 10_000


class Project(_Section, frozen=True):
    """A whole project file."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]*$")]
    interactions: InteractionTable
    seed: NonNegative = 7
    items: ItemAttributes = ItemAttributes()
    users: UserTable | None = None
    drop: list[DropRule] = []
    session: SessionConfig = SessionConfig()
    split: SplitConfig = SplitConfig()
    cooccurrence: CooccurrenceConfig = CooccurrenceConfig()
    svd: SvdConfig = SvdConfig()
    led: LedConfig = LedConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    index: dict[str, Any] = {}
    publish: PublishConfig = PublishConfig()

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.drop]
        if len(set(names)) != len(names):
            message = "two [[drop]] rules have the same name"
            raise ValueError(message)
        if self.split.validation <= 0 or self.split.test <= 0 or self.split.validation + self.split.test >= 1:
            message = "[split] validation and test must both be above 0 and leave users to train on"
            raise ValueError(message)
        self.index_policy()

    def index_policy(self) -> IndexPolicy:
        """Build the publisher's index policy; keys that [index] does not name keep the publisher's defaults."""
        return msgspec.convert(_checked_policy_keys(self.index), IndexPolicy)

    def interaction_types(self) -> dict[str, InteractionType]:
        """Map the type column's values to interaction types."""
        return {value: InteractionType[name] for value, name in self.interactions.type.mapping.items()}


class LoadedProject(msgspec.Struct, frozen=True):
    """A project with the folder that its paths are relative to, and the settings exactly as they were written."""

    project: Project
    folder: Path
    source: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a project file; `DataError` if there is none, `ConfigError` names the key that is wrong."""
        if not path.is_file():
            message = f"there is no project file {path}; give the path of a TOML file"
            raise DataError(message)
        try:
            source = msgspec.toml.decode(path.read_bytes())
            project = msgspec.convert(source, Project)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            message = f"{path}: {error}"
            raise ConfigError(message) from error
        return cls(project=project, folder=path.parent, source=source)


def _checked_policy_keys(keys: dict[str, Any]) -> dict[str, Any]:
    known = IndexPolicy.__dataclass_fields__
    for key in keys:
        if key not in known:
            message = f"[index] has no key '{key}'; its keys are {', '.join(known)}"
            raise ValueError(message)
    return keys
