from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from index_store.country import Country
from index_store.index import Neighbours

class Lane:
    country: Country
    profile: str
    k: int
    excludes: bool

    def __init__(
        self,
        country: Country,
        profile: str,
        k: int,
        *,
        excludes: bool,
        max_history: int,
        search: Callable[[NDArray[np.float32], int], Neighbours],
        depth: Callable[[int], int],
        kind: int,
        start: int,
        head: bytes,
        report_head: bytes,
        report_end: Callable[[str], bytes],
        tail: bytes,
    ) -> None: ...
