"""The files of the bundle that is served: its manifest, sample users and catalogues, followed from version to version.

The server says which version answers; a reload is noticed at the next request. The server has verified the files, so
here they are only mapped. The folder may be out of this process's reach, or gone since: then what the server says by
gRPC is shown without them, and `fault` says why.
"""

import asyncio
import threading
from collections import OrderedDict
from pathlib import Path

from index_store.errors import BundleError
from index_store.manifest import CountryEntry, read_manifest
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.inspector.problems import Problem, not_found
from server.inspector.samples import SampleUsers
from server.inspector.shelf import Shelf

_MOST_SHELVES = 16
_MOST_SHELF_BYTES = 512 * 1024 * 1024


class ServedFiles:
    """One version's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.samples = SampleUsers.load(folder)
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._opening = threading.Lock()

    def shelf(self, country: str) -> Shelf:
        """Open a country's catalogue; the longest unused ones are closed."""
        entry = self.manifest.countries.get(country)
        if entry is None:
            message = f"the bundle does not have country {country!r}"
            raise not_found(message)
        with self._opening:
            shelf = self._shelves.pop(country, None) or self._open(country, entry)
            self._shelves[country] = shelf
            while len(self._shelves) > 1 and self._too_many():
                self._shelves.popitem(last=False)
        return shelf

    def _open(self, country: str, entry: CountryEntry) -> Shelf:
        try:
            return Shelf(self.folder, country, entry)
        except (OSError, BundleError) as error:
            message = f"the catalogue of {country} cannot be read: {error}"
            raise Problem(503, "FILES_UNAVAILABLE", message) from error

    def _too_many(self) -> bool:
        taken = sum(shelf.nbytes for shelf in self._shelves.values())
        return len(self._shelves) > _MOST_SHELVES or taken > _MOST_SHELF_BYTES


class Bundles:
    """Follows the served version below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._served: tuple[str, str] = ("", "")
        self._files: ServedFiles | None = None
        self._following = asyncio.Lock()
        self.fault = ""

    async def follow(self, info: pb.GetServingInfoResponse) -> ServedFiles | None:
        """Give the files of the version that `info` names, or None, and then `fault` says why."""
        served = (info.bundle_name, info.bundle_version)
        async with self._following:
            if served != self._served or self._files is None:
                self._files, self._served = None, served
                folder = self.root / info.bundle_name / info.bundle_version
                self._files, self.fault = await asyncio.to_thread(_open, folder)
            return self._files

    async def files(self, info: pb.GetServingInfoResponse) -> ServedFiles:
        """Give the files, or raise a `Problem` for what cannot be answered without them."""
        files = await self.follow(info)
        if files is None:
            raise Problem(503, "FILES_UNAVAILABLE", f"the bundle's files cannot be read: {self.fault}")
        return files


def _open(folder: Path) -> tuple[ServedFiles | None, str]:
    try:
        return ServedFiles(folder), ""
    except (OSError, BundleError) as error:
        return None, str(error)
