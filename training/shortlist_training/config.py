"""The project file: one TOML that describes a data set and how to learn from it, decoded into frozen structs.

First in the dataflow. Every later step takes a part of `Project` as an argument and reads no other setting.
"""

from pathlib import Path
from typing import Annotated, Any, Self

import msgspec

from index_store.content import IndexPolicy
from models.interactions import InteractionType
from shortlist_training.config_data import (
    DropRule,
    InteractionTable,
    ItemAttributes,
    NonNegative,
    Positive,
    PositiveFloat,
    Section,
    SessionConfig,
    SplitConfig,
    UserTable,
)
from shortlist_training.config_errors import with_words
from shortlist_training.config_models import (
    CooccurrenceConfig,
    LedConfig,
    SvdConfig,
)
from shortlist_training.config_sources import InteractionSettings, PdnSettings, TwoTowerSettings
from shortlist_training.errors import ConfigError, DataError

__all__ = [
    "CooccurrenceConfig",
    "DropRule",
    "EvaluateConfig",
    "InteractionSettings",
    "InteractionTable",
    "LedConfig",
    "LoadedProject",
    "PdnSettings",
    "Project",
    "PublishConfig",
    "SplitConfig",
    "SvdConfig",
    "TwoTowerSettings",
]


class EvaluateConfig(Section, frozen=True):
    """Strong generalisation: `input_share` of a held-out user's items are the input, the rest is to be found.

    EASE needs memory quadratic and time cubic in the items, so it is left out above `ease_max_items`.
    """

    input_share: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.8
    ease_lambdas: Annotated[tuple[PositiveFloat, ...], msgspec.Meta(min_length=1)] = (50.0, 100.0, 200.0, 400.0, 800.0)
    ease_max_items: NonNegative = 10_000
    bootstrap: Positive = 1000


class PublishConfig(Section, frozen=True):
    """What goes into the bundle. `min_interactions` is per country and counts all users."""

    min_interactions: Positive = 1
    max_history: Positive = 100
    golden_per_country: NonNegative = 5
    golden_k: Positive = 100
    calibration_queries: Positive = 200
    timelines: NonNegative = 10_000


class Project(Section, frozen=True):
    """A whole project file."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]*$")]
    interactions: InteractionTable
    seed: NonNegative = 7
    items: ItemAttributes = ItemAttributes()
    users: UserTable | None = None
    drop: list[DropRule] = msgspec.field(default_factory=list)
    session: SessionConfig = SessionConfig()
    split: SplitConfig = SplitConfig()
    cooccurrence: CooccurrenceConfig = CooccurrenceConfig()
    svd: SvdConfig = SvdConfig()
    led: LedConfig = LedConfig()
    two_tower: TwoTowerSettings | None = None
    pdn: PdnSettings | None = None
    item_interaction: InteractionSettings | None = None
    evaluate: EvaluateConfig = EvaluateConfig()
    index: dict[str, Any] = msgspec.field(default_factory=dict)
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

    def sources(self) -> tuple[str, ...]:
        """List the sources that are learned beside LED, in the order of training."""
        sections = {"two_tower": self.two_tower, "pdn": self.pdn, "item_interaction": self.item_interaction}
        return tuple(name for name, section in sections.items() if section is not None and section.enabled)

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
            message = f"{path}: {with_words(str(error), Project)}"
            raise ConfigError(message) from error
        return cls(project=project, folder=path.parent, source=source)


def _checked_policy_keys(keys: dict[str, Any]) -> dict[str, Any]:
    known = IndexPolicy.__dataclass_fields__
    for key in keys:
        if key not in known:
            message = f"[index] has no key '{key}'; its keys are {', '.join(known)}"
            raise ValueError(message)
    return keys
