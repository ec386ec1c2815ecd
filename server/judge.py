"""The process that knows how well the indices do on real requests: it searches some of them again, exactly.

    worker ── sample ── judge (this): exact search over the eligible rows ── Judged ── generation ── master

Forked from the generation, it shares the bundle's vectors and runs only when nobody else wants the processor. It never
answers a call, and the service goes on without it.
"""

import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index_store.bundle import Bundle
from index_store.country import Country
from index_store.index import ExactIndex
from index_store.recall import TIE_TOLERANCE
from models.encoder import OnnxEncoder
from server.log import set_up_logging
from server.metrics import RECALL_HALF_LIFE_S
from server.process import die_with_parent, work_when_idle
from server.profiles import DEFAULT_PROFILE, Profile
from server.recall_sample import MOST_BYTES, Sample, SourceList, decode_sample
from server.reports import Judged, Report, SourceRecall
from server.resolve import Resolver, Task
from server.retrieval import built_in_profile
from server.settings import Settings
from server.sources.registry import open_sources

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judge:
    """The judge of the generation with pid `parent`; samples come by `channel`, `report` reaches the generation."""

    bundle: Bundle
    settings: Settings
    channel: socket.socket
    parent: int
    report: Callable[[Report], None]

    def run(self) -> None:
        """Judge until ended by a signal; does not return."""
        set_up_logging("judge", self.settings.log_level, self.settings.log_format)
        work_when_idle()
        die_with_parent(self.parent)
        judging = Judging(
            self.bundle, self.bundle.open_encoders(), self.settings.profiles, self.settings.fallback_country or None
        )
        averages = Averages()
        failed = False
        while True:
            raw = self.channel.recv(MOST_BYTES)
            started = time.process_time()
            try:
                country, found = judging.judge(decode_sample(raw))
                self.report(averages.add(country, found, time.monotonic()))
            except Exception:  # one request that cannot be judged is no reason to judge none
                self.report(Judged("", failed=True))
                if not failed:
                    _LOG.exception("a request could not be judged; others that cannot be are only counted")
                failed = True
            self._rest(time.process_time() - started)

    def _rest(self, worked_s: float) -> None:
        """Stay within the share of a core that the settings allow."""
        time.sleep(worked_s * (1.0 / self.settings.recall_cpu_share - 1.0))


class Judging:
    """Compares samples with exact search over the eligible rows."""

    def __init__(
        self,
        bundle: Bundle,
        encoders: Mapping[str, OnnxEncoder],
        profiles: Mapping[str, Profile],
        fallback_country: str | None = None,
    ) -> None:
        countries = {code: exact_country(country) for code, country in bundle.countries.items()}
        self._sources = open_sources(encoders)
        profiles = {DEFAULT_PROFILE: built_in_profile(bundle.sources), **profiles}
        self._resolver = Resolver(countries, encoders, profiles, fallback_country)

    def judge(self, sample: Sample) -> tuple[str, Mapping[str, float]]:
        """Give the country that answered, and by source the share of the exact answer that was served."""
        task = self._resolver.task(sample.query)
        shares = {served.source: self._share(task, served) for served in sample.lists}
        return task.country.code, {source: share for source, share in shares.items() if share is not None}

    def _share(self, task: Task, served: SourceList) -> float | None:
        """None where nothing could be found."""
        setting = next(one for one in task.settings if one.name == served.source)
        exact = self._sources[setting.name].retrieve(
            task.country, [task.user], [task.wanted(setting)], [task.eligible], setting
        )[0]
        return recall_of(served, exact.rows, exact.scores)


def recall_of(served: SourceList, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> float | None:
    """Share of the exact rows (n,) that were served; one that ties with the last counts as it. None if n is 0."""
    if not len(rows):
        return None
    bar = float(scores[-1])
    bar -= TIE_TOLERANCE * max(1.0, abs(bar))
    hit = np.isin(served.rows, rows) | (served.scores >= bar)
    return min(int(np.count_nonzero(hit)), len(rows)) / len(rows)


def exact_country(country: Country) -> Country:
    """Search a country's vectors exactly, whatever index they have; the vectors stay where they are."""
    tower, pairs = country.two_tower, country.item_interaction
    if tower is not None:
        tower = replace(tower, index=ExactIndex(tower.vectors))
    if pairs is not None:
        exact = {kind: replace(each, index=ExactIndex(each.vectors)) for kind, each in pairs.pairs.items()}
        pairs = replace(pairs, pairs=exact)
    led = replace(country.led, index=ExactIndex(country.led.vectors))
    return replace(country, led=led, two_tower=tower, item_interaction=pairs)


@dataclass(slots=True)
class _Average:
    """`hits` and `samples` are sums in which each request counts half after `RECALL_HALF_LIFE_S`."""

    hits: float = 0.0
    samples: float = 0.0
    at_s: float = 0.0


class Averages:
    """Mean recall by country and source, of the last minutes."""

    def __init__(self) -> None:
        self._averages: dict[tuple[str, str], _Average] = {}

    def add(self, country: str, shares: Mapping[str, float], now_s: float) -> Judged:
        """Take one request's recall by source; give the averages that changed."""
        changed = []
        for source, share in shares.items():
            average = self._averages.setdefault((country, source), _Average(at_s=now_s))
            left = 0.5 ** ((now_s - average.at_s) / RECALL_HALF_LIFE_S)
            average.hits = average.hits * left + share
            average.samples = average.samples * left + 1.0
            average.at_s = now_s
            changed.append(SourceRecall(source, average.hits / average.samples, average.samples))
        return Judged(country, tuple(changed))
