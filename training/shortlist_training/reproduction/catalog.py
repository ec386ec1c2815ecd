"""All parts by system. Modules are imported only for the systems asked for: torch takes seconds."""

import importlib
from collections.abc import Sequence

from shortlist_training.reproduction.parts import Part

MODULES = {"led": "shortlist_training.reproduction.led"}


def parts_of(systems: Sequence[str]) -> list[Part]:
    """The parts of some systems, in the order of `MODULES`."""
    found: list[Part] = []
    for system, module in MODULES.items():
        if system in systems:
            found += importlib.import_module(module).PARTS
    return found
