"""A loaded bundle: verified, immutable, shared by all workers after the fork. Opens no ONNX session of its own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from index_store.catalog import Catalog
from index_store.country import Country
from index_store.encoders import load_specs
from index_store.errors import BundleError, BundleUnreadable, EncoderMismatch
from index_store.golden import GoldenRequest, load_golden, replay_golden
from index_store.integrity import check_files
from index_store.item_interaction import ItemInteractionShard
from index_store.layout import GOLDEN, SOURCE_GOLDEN
from index_store.led import LedShard
from index_store.manifest import Manifest, SourceName, read_manifest
from index_store.pdn import PdnShard
from index_store.source_golden import SourceGoldenRequest, load_source_golden
from index_store.sources import check_sources
from index_store.two_tower import TwoTowerShard
from models.encoder import OnnxEncoder
from models.errors import EncoderSpecError
from models.spec import EncoderSpec

__all__ = ["Bundle", "Country", "load_bundle", "verify_bundle"]


@dataclass(frozen=True)
class Bundle:
    """One verified version. `load_ms` is how long verifying and loading took, milliseconds."""

    path: Path
    manifest: Manifest
    countries: Mapping[str, Country]
    specs: Mapping[str, EncoderSpec]
    golden: tuple[GoldenRequest, ...]
    source_golden: tuple[SourceGoldenRequest, ...]
    load_ms: int

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    @property
    def format_version(self) -> str:
        """The format it was written in."""
        return self.manifest.format_version

    @property
    def created_ms(self) -> int:
        """When it was published, milliseconds since the Unix epoch."""
        return self.manifest.created_ms

    @property
    def sources(self) -> tuple[SourceName, ...]:
        """The sources that every country has; LED is always one."""
        return self.manifest.sources

    def open_encoders(self) -> dict[str, OnnxEncoder]:
        """Open every encoder, by name. Call it after the fork: a session does not survive one (M15)."""
        return {name: self._open(name) for name in self.manifest.encoders}

    def open_led(self) -> OnnxEncoder:
        """Open LED's encoder alone; as `open_encoders`."""
        return self._open("led")

    def _open(self, name: str) -> OnnxEncoder:
        try:
            return OnnxEncoder.open(self.path / self.manifest.encoders[name].graph, self.specs[name])
        except EncoderSpecError as error:
            raise EncoderMismatch(str(error)) from error


def load_bundle(path: Path) -> Bundle:
    """Verify every MUST but M20, M21 and the graph's side of M15, and load everything but the encoder sessions.

    Raises the `BundleError` of the first MUST that does not hold. Verification comes before use: no array, graph or
    spec is opened whose hash is not the manifest's.
    """
    try:
        return _load(path)
    except BundleError:
        raise
    except Exception as error:  # whatever a file makes a library raise, it is the file that is refused
        message = f"{path}: {type(error).__name__}: {error}"
        raise BundleUnreadable(message) from error


def _load(path: Path) -> Bundle:
    start = time.monotonic()
    manifest = read_manifest(path)
    check_sources(manifest)
    check_files(path, manifest)
    specs = load_specs(path, manifest)
    countries = {code: _load_country(path, code, manifest) for code in sorted(manifest.countries)}
    golden = load_golden(path / GOLDEN, {code: country.catalog for code, country in countries.items()})
    others = load_source_golden(path / SOURCE_GOLDEN, countries) if manifest.sources != ("led",) else ()
    load_ms = round((time.monotonic() - start) * 1000)
    return Bundle(path, manifest, countries, specs, golden, others, load_ms)


def _load_country(path: Path, code: str, manifest: Manifest) -> Country:
    entry, settings, triggers = manifest.countries[code], manifest.item_interaction, manifest.pdn_triggers
    return Country(
        code=code,
        catalog=Catalog.load(path, code, entry),
        led=LedShard.load(path, code, entry),
        two_tower=TwoTowerShard.load(path, code, entry.items, entry.two_tower) if entry.two_tower else None,
        pdn=PdnShard.load(path, code, entry.items, entry.pdn, triggers) if entry.pdn and triggers else None,
        item_interaction=ItemInteractionShard.load(path, code, entry.items, entry.item_interaction, settings)
        if settings
        else None,
    )


def verify_bundle(path: Path) -> Bundle:
    """Check every MUST but M21, the encoders and the golden requests included, in this process."""
    bundle = load_bundle(path)
    replay_golden(bundle, bundle.open_encoders())
    return bundle
