"""Makes every source whose encoders are there."""

from collections.abc import Mapping

from models.encoder import OnnxEncoder
from server.profiles import SourceName
from server.sources.base import Source
from server.sources.item_interaction import ItemInteractionSource
from server.sources.led import LedSource
from server.sources.pdn import PdnSource
from server.sources.popular import PopularSource
from server.sources.similar import SimilarSource
from server.sources.two_tower import TwoTowerSource


def open_sources(encoders: Mapping[str, OnnxEncoder]) -> Mapping[SourceName, Source]:
    """Make the sources by name, from a bundle's opened encoders by theirs: "led" is always there."""
    sources: list[Source] = [LedSource(encoders["led"])]
    if "two_tower_query" in encoders:
        sources.append(TwoTowerSource(encoders["two_tower_query"]))
    if {"trignet", "pdn_user"} <= encoders.keys():
        sources.append(PdnSource(encoders["trignet"], encoders["pdn_user"]))
    sources += [ItemInteractionSource(), SimilarSource(), PopularSource()]
    return {source.name: source for source in sources}
