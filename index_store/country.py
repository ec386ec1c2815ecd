"""What one country serves: its catalogue and its sources, over the same rows."""

from dataclasses import dataclass

from index_store.catalog import Catalog
from index_store.led import LedShard


@dataclass(frozen=True)
class Country:
    """One country of a bundle."""

    code: str
    catalog: Catalog
    led: LedShard
