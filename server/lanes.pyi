from collections.abc import Callable, Sequence
from typing import Any

from server.lane import Lane
from server.native.call import Call
from server.observe import Observed, Observer

class Lanes:
    def __init__(
        self,
        find: Callable[[bytes], Lane | None],
        longest_history: int,
        method: int,
        respond: Callable[[int, bytes], bool],
        observer: Observer,
        describe: Callable[..., Observed[Any, Any]],
    ) -> None: ...
    def answer(self, calls: Sequence[Call]) -> list[Call]: ...
    def settle(self) -> None: ...
