"""The sample users of a bundle: who there is by country, and one's history. The file is read once."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from index_store.content import Timeline
from index_store.layout import TIMELINES
from models.interactions import InteractionType
from server.inspector.shelf import MAX_ID

_MOST_BYTES = 16 * 1024 * 1024
_KNOWN = set(InteractionType)


class SampleUser(msgspec.Struct, frozen=True):
    """A user and how many interactions there are."""

    user: str
    interactions: int


class SampleUsers:
    """Sample users by country, in the file's order. truncated: the file goes on after 16 MiB, which are read."""

    def __init__(self, raw: bytes, *, truncated: bool) -> None:
        self.truncated = truncated
        self._by_country: dict[str, dict[str, Timeline]] = {}
        for timeline in _timelines(raw):
            self._by_country.setdefault(timeline.country, {})[timeline.user] = timeline

    @classmethod
    def load(cls, folder: Path) -> "SampleUsers":
        """Read them; none if the bundle has no such file."""
        try:
            with (folder / TIMELINES).open("rb") as file:
                raw = file.read(_MOST_BYTES)
                truncated = bool(file.read(1))
        except FileNotFoundError:
            return cls(b"", truncated=False)
        return cls(raw, truncated=truncated)

    def count(self, country: str) -> int:
        """How many there are."""
        return len(self._by_country.get(country, {}))

    def search(self, country: str, query: str, limit: int) -> list[SampleUser]:
        """List users of a country whose name has `query` in it, those that begin with it first."""
        names = [name for name in self._by_country.get(country, {}) if query in name]
        names.sort(key=lambda name: not name.startswith(query))
        users = self._by_country.get(country, {})
        return [SampleUser(name, len(users[name].item_ids)) for name in names[:limit]]

    def timeline(self, country: str, user: str) -> Timeline | None:
        """Give a user's interactions, oldest first, if there is such a user."""
        return self._by_country.get(country, {}).get(user)


def _timelines(raw: bytes) -> Iterator[Timeline]:
    """Read line by line; a reader of the format does not check these, so one that is no sample user is left out."""
    decoder = msgspec.json.Decoder(Timeline)
    for line in raw.splitlines():
        try:
            timeline = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        types_known = _KNOWN.issuperset(timeline.types) and len(timeline.types) == len(timeline.item_ids)
        if types_known and all(0 <= item_id <= MAX_ID for item_id in timeline.item_ids):
            yield timeline
