"""Profiles: named recipes of which sources answer, how many candidates each gives, and how they become one answer."""

from dataclasses import dataclass
from typing import Literal

SourceName = Literal["led", "two_tower", "pdn", "item_interaction", "similar", "popular"]
FusionName = Literal["reciprocal_rank", "weighted", "quota", "single"]

DEFAULT_PROFILE = "default"


@dataclass(frozen=True, slots=True)
class SourceSetting:
    """One source of a profile.

    quota: how many candidates it is asked for; 0 = the request's k, and at least 100 where several sources are fused.
    By quota fusion it bounds the source's turns. weight: in fusion, > 0. triggers: m of PDN, 0 = the bundle's. last_n:
    pairs per type of item_interaction, 0 = the bundle's.
    """

    name: SourceName
    quota: int = 0
    weight: float = 1.0
    triggers: int = 0
    last_n: int = 0


@dataclass(frozen=True, slots=True)
class Diversity:
    """At most so many candidates per category or merchant (0 = any number), and MMR over LED's item vectors.

    mmr: lambda in [0, 1], 1 = relevance only = off: next is the item with the largest
    lambda * relevance - (1 - lambda) * largest cosine with one already taken; relevance is the fused score scaled to
    [0, 1] within the answer. mmr_pool: how many of the best are re-ordered, as a multiple of k.
    """

    max_per_category: int = 0
    max_per_merchant: int = 0
    mmr: float = 1.0
    mmr_pool: float = 2.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A recipe.

    fusion "reciprocal_rank": score = sum of weight / (60 + rank); "weighted": sum of weight * calibrated score, a
    source's scores being scaled to [0, 1] over its candidates; "quota": sources take turns, each up to its quota, then
    what is left over fills up; "single": the first source's own order and scores, the others only fill up.
    exclude_history: also where the request does not ask for it.
    """

    name: str
    sources: tuple[SourceSetting, ...]
    fusion: FusionName = "reciprocal_rank"
    exclude_history: bool = False
    diversity: Diversity = Diversity()
