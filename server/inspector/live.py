"""The last quarter of an hour of a server, from its own metrics: a ring of points for the charts of the live view.

Every two seconds while somebody looks, every fifteen otherwise: a scrape costs the master time, the more countries the
more.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.inspector.rates import Interval, between, timing
from server.inspector.scrape import Scrape, fetch, read

WATCHED_EVERY_S = 2.0
_UNWATCHED_EVERY_S = 15.0
_WATCHED_FOR_S = 20.0
_KEPT_S = 900.0
_SMOOTHED_S = 6.0
_STAGES_S = 60.0
_WORST = 8


@dataclass(frozen=True)
class _Point:
    """What happened up to `time_s`; live recall by source, the mean over countries."""

    time_s: float
    interval: Interval
    recall: dict[str, float]


class Live:
    """Scrapes `url` until cancelled; "" is a server without metrics."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fault = ""
        self._scrapes: deque[Scrape] = deque()
        self._points: deque[_Point] = deque()
        self._looked_s = float("-inf")
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Scrape for ever."""
        while True:
            await self._scrape()
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), WATCHED_EVERY_S if self._watched else _UNWATCHED_EVERY_S)
            except TimeoutError:
                continue

    def look(self) -> dict[str, Any]:
        """Say what is known; scrapes come often while this is called."""
        watched, self._looked_s = self._watched, time.monotonic()
        if not watched:
            self._wake.set()
        newest = self._scrapes[-1] if self._scrapes else None
        return {
            "metrics": bool(self.url),
            "fault": self._fault,
            "every_s": WATCHED_EVERY_S,
            "longest_us": newest.handling.longest_us if newest else None,
            "workers": newest.workers if newest else 0,
            "series": _series(self._points),
            "stages": _stages(self._scrapes[0], newest) if newest else [],
            "worst_recall": _worst_recall(newest) if newest else [],
        }

    @property
    def _watched(self) -> bool:
        return time.monotonic() - self._looked_s < _WATCHED_FOR_S

    async def _scrape(self) -> None:
        try:
            text = await asyncio.to_thread(fetch, self.url)
            scrape = await asyncio.to_thread(read, text, time.time())
        except (OSError, ValueError, KeyError) as error:
            self._fault = f"{self.url}: {error}"
            return
        self._fault = ""
        self._keep(scrape)

    def _keep(self, scrape: Scrape) -> None:
        """Note what happened since the scrape a few seconds ago: over two seconds, few calls would make rates jump."""
        if self._scrapes:
            earlier = [one for one in self._scrapes if scrape.time_s - one.time_s > _SMOOTHED_S - WATCHED_EVERY_S / 2]
            before = earlier[-1] if earlier else self._scrapes[0]
            sources = {source for _, source in scrape.live_recall}
            recall = {source: _mean_recall(scrape, source) for source in sources}
            self._points.append(_Point(scrape.time_s, between(before, scrape), recall))
        self._scrapes.append(scrape)
        # the first one is as old as `_stages` needs it
        while len(self._scrapes) > 1 and scrape.time_s - self._scrapes[1].time_s >= _STAGES_S:
            self._scrapes.popleft()
        while self._points and scrape.time_s - self._points[0].time_s > _KEPT_S:
            self._points.popleft()


def _series(points: Sequence[_Point]) -> dict[str, Any]:
    """Columns of equal length, a value per point; None where nothing was measured."""
    reasons = sorted({reason for each in points for reason, rate in each.interval.fallbacks.items() if rate})
    sources = sorted({source for each in points for source in each.recall})
    return {
        "time": [round(each.time_s, 1) for each in points],
        "calls": [round(each.interval.calls, 2) for each in points],
        "errors": [round(each.interval.errors, 2) for each in points],
        "p50_us": [_whole(each.interval.timing.p50_us) for each in points],
        "p99_us": [_whole(each.interval.timing.p99_us) for each in points],
        "fallbacks": {
            reason: [round(each.interval.fallbacks.get(reason, 0), 2) for each in points] for reason in reasons
        },
        "recall": {source: [each.recall.get(source) for each in points] for source in sources},
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _mean_recall(scrape: Scrape, source: str) -> float:
    values = [value for (_, name), value in scrape.live_recall.items() if name == source]
    return round(sum(values) / len(values), 5)


def _worst_recall(scrape: Scrape) -> list[dict[str, Any]]:
    values = sorted((value, country, source) for (country, source), value in scrape.live_recall.items())
    return [{"country": country, "source": source, "recall": value} for value, country, source in values[:_WORST]]


def _stages(before: Scrape, after: Scrape) -> list[dict[str, Any]]:
    """Every stage that ran between the two, a minute apart once there has been one."""
    seconds = after.time_s - before.time_s
    found = []
    for (stage, source), histogram in sorted(after.stages.items()):
        gained = timing(before.stages.get((stage, source)), histogram)
        if gained.count and seconds:
            found.append(
                {
                    "stage": stage,
                    "source": source,
                    "per_s": gained.count / seconds,
                    "mean_us": gained.mean_us,
                    "p50_us": gained.p50_us,
                    "p99_us": gained.p99_us,
                }
            )
    return found
