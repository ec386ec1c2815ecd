"""The manifest: its types, its parsing, its facts. Reads no other file of the bundle."""

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from index_store.errors import FormatVersionUnsupported, IdentityMismatch, ManifestMalformed, ManifestMissing
from index_store.format_versions import KNOWN_VERSIONS, check_older
from index_store.index_entry import Positive, VectorEntry

FORMAT = "shortlist-bundle"
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

_T = TypeVar("_T")

# Names become directory names and metric labels, so their alphabet is small.
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z"
COUNTRY_PATTERN = r"^[A-Za-z0-9_-]{1,32}\Z"

_LATEST_MS = 253_402_300_799_999  # the year 9999

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
CountryCode = Annotated[str, msgspec.Meta(pattern=COUNTRY_PATTERN)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_MS)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Column = Literal["keys", "titles", "merchants", "categories"]
SourceName = Literal["led", "two_tower", "pdn", "item_interaction"]
TypeName = Literal["VIEW", "CLICK", "FAVORITE", "CART", "PURCHASE"]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the bundle: POSIX path relative to it, size, content hash."""

    path: str
    bytes: Bytes
    sha256: Sha256


class EncoderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an encoder's spec and graph lie."""

    spec: str
    graph: str


class TwoTowerEntry(VectorEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One country's two-tower items; `input_dim` is the e of `input_vectors.npy`."""

    input_dim: Positive


class PdnEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One country's PDN: k neighbours a row, d + 1 dimensions of the direct net, h of TrigNet's first layer."""

    neighbours: Positive
    dim: Positive
    trigger_dim: Positive


class PairsEntry(VectorEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One country's pairs of one type, `count` of them. A type that is no target is searched exactly, if at all."""

    count: Positive


class CountryEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One country: number of items (N), string columns its catalogue has, whether it has prices, and its sources."""

    items: Positive
    columns: tuple[Column, ...]
    led: VectorEntry
    prices: bool = False
    two_tower: TwoTowerEntry | None = None
    pdn: PdnEntry | None = None
    item_interaction: dict[TypeName, PairsEntry] = {}

    def __post_init__(self) -> None:
        _once("columns", self.columns)


class InteractionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How item-interaction vectors are used; fields as in `index_store.content.InteractionPolicy`."""

    sources: Annotated[tuple[TypeName, ...], msgspec.Meta(min_length=1)]
    targets: Annotated[tuple[TypeName, ...], msgspec.Meta(min_length=1)]
    last_n: Positive

    def __post_init__(self) -> None:
        _once("sources", self.sources)
        _once("targets", self.targets)


def _once(field: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        message = f"{field} must be named once each, found {', '.join(names)}"
        raise ValueError(message)


class TrainingEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the vectors come from: sha256 of the data, seed, offline metrics by model, the whole configuration."""

    data_fingerprint: str
    seed: int
    metrics: dict[str, dict[str, float]]
    config: dict[str, Any]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole manifest; fields as in docs/bundle-format.md. The last two say which sources the bundle has."""

    format: str
    format_version: str
    name: Name
    version: Name
    created_ms: Milliseconds
    files: tuple[FileEntry, ...]
    encoders: dict[str, EncoderEntry]
    countries: Annotated[dict[CountryCode, CountryEntry], msgspec.Meta(min_length=1)]
    training: TrainingEntry
    pdn_triggers: Positive | None = None
    item_interaction: InteractionEntry | None = None

    @property
    def sources(self) -> tuple[SourceName, ...]:
        """The sources that some country or setting speaks of; `index_store.sources` refuses half of one (M23)."""
        has = {
            "led": True,
            "two_tower": any(country.two_tower for country in self.countries.values()),
            "pdn": self.pdn_triggers is not None or any(country.pdn for country in self.countries.values()),
            "item_interaction": self.item_interaction is not None
            or any(country.item_interaction for country in self.countries.values()),
        }
        return tuple(name for name in get_args(SourceName) if has[name])


class _Header(msgspec.Struct):
    """The part that says which format the rest is in."""

    format: str
    format_version: str


def read_manifest(directory: Path) -> Manifest:
    """Read and check `directory/manifest.json` (M1 to M4)."""
    path = directory / MANIFEST_NAME
    try:
        status = path.lstat()
    except (OSError, ValueError) as error:
        message = f"{path} cannot be found ({error}): this version was never published"
        raise ManifestMissing(message) from error
    if not stat.S_ISREG(status.st_mode):
        message = f"{path}: expected a regular file, found {stat.filemode(status.st_mode)}"
        raise ManifestMissing(message)
    if status.st_size > MAX_MANIFEST_BYTES:
        message = f"{path}: expected at most {MAX_MANIFEST_BYTES} bytes, found {status.st_size}"
        raise ManifestMissing(message)
    try:
        raw = path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ManifestMissing(message) from error
    manifest = parse_manifest(raw)
    found = (directory.parent.name, directory.name)
    if found != (manifest.name, manifest.version):
        message = f"{path} speaks of {manifest.name}/{manifest.version}, but lies in {found[0]}/{found[1]}"
        raise IdentityMismatch(message)
    return manifest


def parse_manifest(raw: bytes) -> Manifest:
    """Decode a manifest; the format version is judged before the rest (M2, M3)."""
    header = _decode(raw, _Header)
    if header.format != FORMAT or header.format_version not in KNOWN_VERSIONS:
        message = (
            f"{MANIFEST_NAME}: expected format {FORMAT!r} in version {' or '.join(KNOWN_VERSIONS)}, "
            f"found {header.format!r} in version {header.format_version!r}"
        )
        raise FormatVersionUnsupported(message)
    manifest = _decode(raw, Manifest)
    try:
        fields = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        message = f"{MANIFEST_NAME}: {error}"
        raise ManifestMalformed(message) from error
    check_older(fields, header.format_version)
    return manifest


def _decode(raw: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"{MANIFEST_NAME}: {error}"
        raise ManifestMalformed(message) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice: readers would differ in which one they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        message = f"the key {twice!r} stands more than once in one object"
        raise ValueError(message)
    return found


def encode_manifest(manifest: Manifest) -> bytes:
    """Serialise a manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
