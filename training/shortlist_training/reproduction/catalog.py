"""All parts by system. Modules are imported only for the systems asked for: torch takes seconds."""

import importlib
from collections.abc import Sequence

from shortlist_training.errors import TrainingError
from shortlist_training.reproduction.parts import Part

MODULES = {
    "led": "shortlist_training.reproduction.led",
    "pdn": "shortlist_training.reproduction.pdn",
    "item-interaction": "shortlist_training.reproduction.item_interaction",
    "mns": "shortlist_training.reproduction.mns_parts",
}
ALL = "all"


class UnknownPartError(TrainingError):
    """The caller's fault: a system or a part was asked for that does not exist. Exit code 2."""

    exit_code = 2


def systems_of(choice: str) -> list[str]:
    """Resolve the name of a system, or "all"; `UnknownPartError` lists the systems there are."""
    if choice == ALL:
        return list(MODULES)
    if choice not in MODULES:
        message = f"there is no system '{choice}'; choose {', '.join(MODULES)} or {ALL}"
        raise UnknownPartError(message)
    return [choice]


def parts_of(systems: Sequence[str]) -> list[Part]:
    """The parts of some systems, in the order of `MODULES`."""
    found: list[Part] = []
    for system, module in MODULES.items():
        if system in systems:
            found += importlib.import_module(module).PARTS
    return found


def only(parts: Sequence[Part], name: str) -> list[Part]:
    """Pick one part, by its whole name or without its system; `UnknownPartError` lists the parts there are."""
    chosen = [part for part in parts if name in {part.name, part.name.partition("/")[2]}]
    if not chosen:
        message = f"there is no part '{name}'; choose one of {', '.join(part.name for part in parts)}"
        raise UnknownPartError(message)
    return chosen
