from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.index import Neighbours
from server.query import Query
from server.sources.base import Found

class Lane:
    def __init__(
        self,
        country: Country,
        k: int,
        *,
        excludes: bool,
        start: int,
        user: Callable[[Query, NDArray[np.int64]], Any] | None,
        max_history: int,
        search: Callable[..., Neighbours | list[Found] | None],
        depth: Callable[[int], int],
        run: Callable[[str, str], tuple[int, bytes]],
        head: bytes,
        unused: bytes,
        report_head: bytes,
        tail: bytes,
    ) -> None: ...
