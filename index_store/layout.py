"""Which files a bundle consists of: the paths of docs/bundle-format.md in one place, for the writer and the reader."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from index_store.index_entry import ScannEntry, VectorEntry
from index_store.manifest import CountryEntry, EncoderEntry, Manifest, SourceName

GOLDEN = "golden/requests.json"
SOURCE_GOLDEN = "golden/sources.json"
TIMELINES = "samples/timelines.jsonl"

ENCODERS: Mapping[SourceName, tuple[str, ...]] = {
    "led": ("led",),
    "two_tower": ("two_tower_query",),
    "pdn": ("trignet", "pdn_user"),
    "item_interaction": (),
}
"""The encoders of every source."""


def encoder_files(encoder: str) -> EncoderEntry:
    """An encoder's spec and graph."""
    return EncoderEntry(spec=f"encoders/{encoder}.json", graph=f"encoders/{encoder}.onnx")


def catalog_array(country: str, name: str) -> str:
    """`item_ids`, `popularity` or `prices` of a country."""
    return f"countries/{country}/catalog/{name}.npy"


def string_table(country: str, column: str) -> tuple[str, str]:
    """The bytes and the offsets of a country's string column."""
    stem = f"countries/{country}/catalog/{column}"
    return f"{stem}.utf8.npy", f"{stem}.offsets.npy"


def led_vectors(country: str) -> str:
    """A country's LED vectors with their biases."""
    return f"countries/{country}/led/vectors.npy"


def two_tower_file(country: str, name: str) -> str:
    """`vectors.npy` or `input_vectors.npy` of a country's two-tower items."""
    return f"countries/{country}/two_tower/{name}"


def pdn_array(country: str, name: str) -> str:
    """One of `PDN_ARRAYS` of a country."""
    return f"countries/{country}/pdn/{name}.npy"


def pairs_file(country: str, kind: str, name: str) -> str:
    """`rows.npy` or `vectors.npy` of a country's pairs of one type."""
    return f"countries/{country}/item_interaction/{kind}/{name}"


def index_files(vectors: str, entry: VectorEntry) -> set[str]:
    """The files of the index over the array `vectors`, which lie beside it; exact search needs none."""
    folder = PurePosixPath(vectors).parent
    if entry.engine == "hnsw":
        return {str(folder / GRAPH)}
    if entry.scann is not None:
        return {str(folder / SCANN_FOLDER / name) for name in scann_files(entry.scann)}
    return set()


def scann_files(entry: ScannEntry) -> tuple[str, ...]:
    """The files in a ScaNN index's folder; their names are ScaNN's."""
    return _SCANN_FILES if entry.soar is None else (*_SCANN_FILES, SCANN_SPILLED)


GRAPH = "index.bin"
SCANN_FOLDER = "scann"
SCANN_SPILLED = "hashed_dataset_soar.npy"
_SCANN_FILES = (
    "scann_config.pb",
    "serialized_partitioner.pb",
    "ah_codebook.pb",
    "datapoint_to_token.npy",
    "hashed_dataset.npy",
)
PDN_ARRAYS = ("neighbours", "scores", "item_vectors", "trigger_vectors")
OPTIONAL_FILES = frozenset({TIMELINES})


def required_files(manifest: Manifest) -> set[str]:
    """All paths that the manifest's encoders, countries, sources, columns and engines need."""
    paths = {GOLDEN}
    if manifest.sources != ("led",):
        paths.add(SOURCE_GOLDEN)
    for encoder in manifest.encoders.values():
        paths |= {encoder.spec, encoder.graph}
    for code, country in manifest.countries.items():
        paths |= _country_files(code, country) | _source_files(code, country)
    return paths


def _country_files(code: str, country: CountryEntry) -> set[str]:
    paths = {catalog_array(code, "item_ids"), catalog_array(code, "popularity"), led_vectors(code)}
    for column in country.columns:
        paths.update(string_table(code, column))
    if country.prices:
        paths.add(catalog_array(code, "prices"))
    return paths | index_files(led_vectors(code), country.led)


def _source_files(code: str, country: CountryEntry) -> set[str]:
    paths = set()
    if country.two_tower:
        paths |= {two_tower_file(code, "vectors.npy"), two_tower_file(code, "input_vectors.npy")}
        paths |= index_files(two_tower_file(code, "vectors.npy"), country.two_tower)
    if country.pdn:
        paths |= {pdn_array(code, name) for name in PDN_ARRAYS}
    for kind, pairs in country.item_interaction.items():
        paths |= {pairs_file(code, kind, "rows.npy"), pairs_file(code, kind, "vectors.npy")}
        paths |= index_files(pairs_file(code, kind, "vectors.npy"), pairs)
    return paths
