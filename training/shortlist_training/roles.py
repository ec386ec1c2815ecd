"""Which of a user's items may be LED's input and which its target, by the types of the interactions with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.config_models import LedConfig
from shortlist_training.histories import History, distinct_rows
from shortlist_training.timelines import Rows


@dataclass(frozen=True)
class Roles:
    """One user's distinct items, by first interaction. as_input, as_target: (T,) bool; None where all of them may.

    country: the user's place among the countries.
    """

    rows: Rows
    as_input: NDArray[np.bool_] | None = None
    as_target: NDArray[np.bool_] | None = None
    country: int = 0

    @property
    def usable(self) -> bool:
        """Whether there are an input and a target that are two items."""
        given, wanted = self.inputs_of(self.rows), self.targets_of(self.rows)
        return bool(len(given) and len(wanted) and len(np.union1d(given, wanted)) > 1)

    def inputs_of(self, rows: Rows) -> Rows:
        """Leave only the rows that may be inputs."""
        return rows if self.as_input is None else rows[np.isin(rows, self.rows[self.as_input])]

    def targets_of(self, rows: Rows) -> Rows:
        """Leave only the rows that may be targets."""
        return rows if self.as_target is None else rows[np.isin(rows, self.rows[self.as_target])]

    def divide(self, head: Rows, tail: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Make a usable history's two parts input and target, neither of them empty, without an item in both.

        Rows that may not be what they would be are left out. If no input is left, all rows that may be one and are no
        target are taken, or else a random one of the targets; if no target is left, a random row that may be one.
        """
        every_input, every_target = self.inputs_of(self.rows), self.targets_of(self.rows)
        given, wanted = self.inputs_of(head), self.targets_of(tail)
        if not len(given):
            given = _without(every_input, wanted)
            if not len(given):
                given = rng.permutation(every_input)[:1]
                wanted = _without(wanted, given)
        if not len(wanted):
            free = _without(every_target, given)
            wanted = rng.permutation(free if len(free) else every_target)[:1]
            given = _without(given, wanted)
        return (given if len(given) else _without(every_input, wanted)), wanted


def _without(rows: Rows, others: Rows) -> Rows:
    return rows[~np.isin(rows, others)]


def type_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """Give interaction types by name."""
    return tuple(int(InteractionType[name]) for name in names)


def roles_of(history: History, country: int, config: LedConfig) -> Roles:
    """Say what each item of a timeline may be."""
    rows = distinct_rows(history)
    as_input, as_target = (
        np.isin(rows, distinct_rows(history, type_numbers(types))) if types else None
        for types in (config.input_types, config.target_types)
    )
    return Roles(rows, as_input, as_target, country)
