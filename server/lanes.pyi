from collections.abc import Callable, Sequence
from typing import Any

from server.desk import Call
from server.lane import Lane
from server.observe import Observed, Observer
from server.query import Query

COMPILED_FROM: str

class Lanes:
    def __init__(
        self,
        find: Callable[[bytes], tuple[Lane, Query] | None],
        longest_history: int,
        method: int,
        observer: Observer,
        describe: Callable[..., Observed[Any, Any]],
        complete: Callable[..., None],
    ) -> None: ...
    def answer(self, calls: Sequence[Call]) -> list[Call]: ...
    def settle(self) -> None: ...
