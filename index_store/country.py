"""What one country serves: its catalogue and its sources, over the same rows."""

from dataclasses import dataclass

from index_store.catalog import Catalog
from index_store.item_interaction import ItemInteractionShard
from index_store.led import LedShard
from index_store.pdn import PdnShard
from index_store.two_tower import TwoTowerShard


@dataclass(frozen=True)
class Country:
    """One country of a bundle. A source is None where the bundle does not have it, in this and every other country."""

    code: str
    catalog: Catalog
    led: LedShard
    two_tower: TwoTowerShard | None = None
    pdn: PdnShard | None = None
    item_interaction: ItemInteractionShard | None = None
