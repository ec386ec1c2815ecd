"""Which files a bundle consists of: the paths of docs/bundle-format.md in one place, for the writer and the reader."""

from index_store.manifest import CountryEntry, Manifest

LED_GRAPH = "encoders/led.onnx"
LED_SPEC = "encoders/led.json"
GOLDEN = "golden/requests.json"
TIMELINES = "samples/timelines.jsonl"


def catalog_array(country: str, name: str) -> str:
    """`item_ids` or `popularity` of a country."""
    return f"countries/{country}/catalog/{name}.npy"


def string_table(country: str, column: str) -> tuple[str, str]:
    """The bytes and the offsets of a country's string column."""
    stem = f"countries/{country}/catalog/{column}"
    return f"{stem}.utf8.npy", f"{stem}.offsets.npy"


def led_vectors(country: str) -> str:
    """A country's LED vectors with their biases."""
    return f"countries/{country}/led/vectors.npy"


def led_index(country: str) -> str:
    """A country's HNSW graph."""
    return f"countries/{country}/led/index.bin"


def required_files(manifest: Manifest) -> set[str]:
    """All paths that the manifest's encoders, countries, columns and engines need."""
    paths = {GOLDEN}
    for encoder in manifest.encoders.values():
        paths |= {encoder.spec, encoder.graph}
    for code, country in manifest.countries.items():
        paths |= _country_files(code, country)
    return paths


OPTIONAL_FILES = frozenset({TIMELINES})


def _country_files(code: str, country: CountryEntry) -> set[str]:
    paths = {catalog_array(code, "item_ids"), catalog_array(code, "popularity"), led_vectors(code)}
    for column in country.columns:
        paths.update(string_table(code, column))
    if country.led.engine == "hnsw":
        paths.add(led_index(code))
    return paths
