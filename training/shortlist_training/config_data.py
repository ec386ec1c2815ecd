"""The project file's sections about data: which tables there are, and which rows count. A leaf of `config`."""

import re
from typing import Annotated, Literal

import msgspec

Fraction = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NonNegative = Annotated[int, msgspec.Meta(ge=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0.0)]
TypeName = Literal["VIEW", "CLICK", "FAVORITE", "CART", "PURCHASE"]
Country = Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")]
Scalar = str | int | float | bool


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the project file: unknown keys are refused."""


class TypeSource(Section, frozen=True):
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


class CountrySource(Section, frozen=True):
    """Where an interaction's country comes from. Without a mapping the column must hold two-letter codes already."""

    constant: Country | None = None
    column: str | None = None
    mapping: dict[str, Country] = {}

    def __post_init__(self) -> None:
        if (self.constant is None) == (self.column is None):
            message = "give exactly one of 'constant' and 'column'"
            raise ValueError(message)


class InteractionTable(Section, frozen=True):
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


class ItemAttributes(Section, frozen=True):
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


class UserTable(Section, frozen=True):
    """A table with one row per user; `keep` names the columns carried into the run directory."""

    path: str
    user: str
    keep: list[str]


class DropRule(Section, frozen=True):
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


class SessionConfig(Section, frozen=True):
    """A session ends where a user pauses for longer than `gap_s` seconds."""

    gap_s: Positive = 1800


class SplitConfig(Section, frozen=True):
    """Users for validation and test. Only users with at least `min_items` distinct items are held out."""

    validation: Fraction = 0.1
    test: Fraction = 0.1
    min_items: Annotated[int, msgspec.Meta(ge=2)] = 5
