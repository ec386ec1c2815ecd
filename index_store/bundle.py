"""A loaded bundle: verified, immutable, shared by all workers after the fork. Opens no ONNX session of its own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from index_store.catalog import Catalog
from index_store.country import Country
from index_store.errors import BundleError, BundleUnreadable, EncoderMismatch
from index_store.golden import GoldenRequest, load_golden, replay_golden
from index_store.integrity import check_files
from index_store.layout import GOLDEN
from index_store.led import LedShard
from index_store.manifest import Manifest, read_manifest
from models.encoder import OnnxEncoder
from models.errors import EncoderSpecError
from models.spec import EncoderSpec, decode_spec

__all__ = ["Bundle", "Country", "load_bundle", "verify_bundle"]


@dataclass(frozen=True)
class Bundle:
    """One verified version. `load_ms` is how long verifying and loading took, milliseconds."""

    path: Path
    manifest: Manifest
    countries: Mapping[str, Country]
    led_spec: EncoderSpec
    golden: tuple[GoldenRequest, ...]
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

    def open_led(self) -> OnnxEncoder:
        """Open the LED encoder. Call it after the fork: a session does not survive one (M15)."""
        try:
            return OnnxEncoder.open(self.path / self.manifest.encoders["led"].graph, self.led_spec)
        except EncoderSpecError as error:
            raise EncoderMismatch(str(error)) from error


def load_bundle(path: Path) -> Bundle:
    """Verify M1 to M19 and M22 (the graph's side of M15 apart) and load everything but the encoder sessions.

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
    check_files(path, manifest)
    spec = _load_spec(path, manifest)
    countries = {
        code: Country(code, Catalog.load(path, code, entry), LedShard.load(path, code, entry))
        for code, entry in sorted(manifest.countries.items())
    }
    golden = load_golden(path / GOLDEN, {code: country.catalog for code, country in countries.items()})
    load_ms = round((time.monotonic() - start) * 1000)
    return Bundle(path, manifest, countries, spec, golden, load_ms)


def verify_bundle(path: Path) -> Bundle:
    """Check every MUST from M1 to M20, the encoder and the golden requests included, in this process."""
    bundle = load_bundle(path)
    replay_golden(bundle, bundle.open_led())
    return bundle


def _load_spec(path: Path, manifest: Manifest) -> EncoderSpec:
    try:
        spec = decode_spec((path / manifest.encoders["led"].spec).read_bytes())
    except EncoderSpecError as error:
        raise EncoderMismatch(str(error)) from error
    for code, country in manifest.countries.items():
        if country.led.dim != spec.output_dim:
            message = f"country {code} has vectors of {country.led.dim} dimensions, the encoder gives {spec.output_dim}"
            raise EncoderMismatch(message)
    return spec
