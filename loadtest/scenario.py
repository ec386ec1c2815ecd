"""What is asked of a bench bundle: the scenarios, as encoded requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadtest.bench_bundle import LONGEST, USUAL, BenchBundle, Wanted
from loadtest.bench_content import COUNTRY
from loadtest.catalogue import REFERENCE
from protos.retrieval.v1 import retrieval_pb2 as pb

METHOD = "/retrieval.v1.Retrieval/Retrieve"
PROFILES = """
[profiles.led]
sources = [{ name = "led" }]
fusion = "single"
[profiles.two_tower]
sources = [{ name = "two_tower" }]
fusion = "single"
[profiles.pdn]
sources = [{ name = "pdn" }]
fusion = "single"
[profiles.fused]
sources = [{ name = "led" }, { name = "two_tower" }, { name = "pdn" }, { name = "item_interaction" }]
fusion = "reciprocal_rank"
"""
"""The settings file's profiles, of bundles that have every source; `LED_PROFILES` of those that have LED alone."""
LED_PROFILES = PROFILES[: PROFILES.index("[profiles.two_tower]")]
_START_MS = 1_764_000_000_000
_SEED = 5


@dataclass(frozen=True)
class Scenario:
    """One kind of request over one bundle.

    history: interactions of a request. excluded: how many random items each request leaves out.
    """

    name: str
    title: str
    wanted: Wanted
    profile: str = "led"
    k: int = 100
    history: int = USUAL
    merchants: tuple[str, ...] = ()
    excluded: int = 0

    @property
    def profiles(self) -> str:
        """TOML tables of the settings file."""
        return PROFILES if self.wanted.every_source else LED_PROFILES

    def payloads(self, bundle: BenchBundle) -> Sequence[bytes]:
        """Encode one request for each of the bundle's histories."""
        rng = np.random.default_rng(_SEED)
        known = np.unique(bundle.histories)
        return [
            self._request(history[-self.history :].tolist(), rng.choice(known, self.excluded, replace=False).tolist())
            for history in bundle.histories
        ]

    def _request(self, history: Sequence[int], excluded: Sequence[int]) -> bytes:
        return pb.RetrieveRequest(
            country=COUNTRY,
            history=[
                pb.Interaction(
                    item_id=item_id,
                    type=pb.INTERACTION_TYPE_CART if place % 4 == 3 else pb.INTERACTION_TYPE_VIEW,  # noqa: PLR2004
                    timestamp_ms=_START_MS + 60_000 * place,
                )
                for place, item_id in enumerate(history)
            ],
            k=self.k,
            profile=self.profile,
            filters=pb.Filters(merchants=self.merchants, excluded_item_ids=excluded) if excluded else None,
        ).SerializeToString()


def scenarios(items: int = REFERENCE.items, glove: Path | None = None) -> Mapping[str, Scenario]:
    """Name all scenarios over catalogues of `items`."""
    recipe = REFERENCE.of_size(items)
    led95, led90 = Wanted(recipe, 0.95), Wanted(recipe, 0.90)
    every = Wanted(recipe, 0.95, every_source=True)
    found = [
        Scenario("led95", "LED, recall@100 0.95", led95),
        Scenario("led90", "LED, recall@100 0.90", led90),
        Scenario("two_tower", "two-tower", every, "two_tower"),
        Scenario("pdn", "PDN, history 100, 50 triggers x 200", every, "pdn", history=LONGEST),
        Scenario(
            "fused",
            "four sources, K = 500, merchant, 1,000 excluded",
            every,
            "fused",
            500,
            merchants=("half",),
            excluded=1_000,
        ),
    ]
    if glove is not None:
        found.append(Scenario("glove95", "GloVe-100, recall@100 0.95", Wanted(recipe, 0.95, vectors=glove)))
    return {each.name: each for each in found}
