"""Whether encoders belong to the vectors they lie beside: specs are read and compared with every country (M15)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from index_store.errors import EncoderMismatch
from index_store.manifest import CountryEntry, Manifest
from models.errors import EncoderSpecError
from models.spec import EncoderSpec, TensorSpec, decode_spec, led_spec, pdn_user_spec, trignet_spec, two_tower_spec


def load_specs(directory: Path, manifest: Manifest) -> dict[str, EncoderSpec]:
    """Read every encoder's spec; `EncoderMismatch` if it is not the one that every country's vectors need."""
    specs = {name: _decode(directory / entry.spec) for name, entry in manifest.encoders.items()}
    for code, country in sorted(manifest.countries.items()):
        try:
            for name, needed in _needed(country, specs):
                _compare(f"encoder {name}, country {code}", specs[name], needed)
        except EncoderSpecError as error:
            raise EncoderMismatch(str(error)) from error
    return specs


def _decode(path: Path) -> EncoderSpec:
    try:
        return decode_spec(path.read_bytes())
    except EncoderSpecError as error:
        message = f"{path.name}: {error}"
        raise EncoderMismatch(message) from error


def _needed(country: CountryEntry, specs: Mapping[str, EncoderSpec]) -> Iterator[tuple[str, EncoderSpec]]:
    """Describe the encoders that a country's vectors need; features, history length and opset are their own affair."""
    led = specs["led"]
    yield "led", led_spec(country.led.dim - 1, led.max_history, led.opset)  # weights are its own affair, too
    if two_tower := country.two_tower:
        own = specs["two_tower_query"]
        yield (
            "two_tower_query",
            two_tower_spec(two_tower.input_dim, two_tower.dim, own.features, own.max_history, own.opset),
        )
    if pdn := country.pdn:
        own = specs["trignet"]
        yield "trignet", trignet_spec(pdn.trigger_dim, own.features, own.max_history, own.opset)
        own = specs["pdn_user"]
        yield "pdn_user", pdn_user_spec(pdn.dim, own.features, own.max_history, own.opset)


def _compare(where: str, found: EncoderSpec, needed: EncoderSpec) -> None:
    comparisons = {
        "encoder": (needed.encoder, found.encoder),
        "system": (needed.system, found.system),
        "inputs": (_words(*needed.inputs), _words(*found.inputs)),
        "output": (_words(needed.output), _words(found.output)),
        "features": (needed.features, found.features),
    }
    for field, (expected, actual) in comparisons.items():
        if expected != actual:
            message = f"{where}: expected {field} {expected}, found {actual}"
            raise EncoderMismatch(message)


def _words(*tensors: TensorSpec) -> str:
    return ", ".join(f"{each.name} {each.dtype} ({', '.join(map(str, each.shape))})" for each in tensors)
