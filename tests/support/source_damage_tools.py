"""The ways to damage what format 1.1 adds to a bundle: functions of the version directory, for FR's files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from damage_tools import Damage, golden, manifest_edit, resealed, set_at
from index_store import errors

FR = "countries/FR"
TOWER, TAKEN, TOWER_INDEX = (f"{FR}/two_tower/{name}" for name in ("vectors.npy", "input_vectors.npy", "index.bin"))
NEIGHBOURS, SCORES = f"{FR}/pdn/neighbours.npy", f"{FR}/pdn/scores.npy"
DIRECT, TRIGGERS = f"{FR}/pdn/item_vectors.npy", f"{FR}/pdn/trigger_vectors.npy"
CART_ROWS, CART, CART_INDEX = (
    f"{FR}/item_interaction/CART/{name}" for name in ("rows.npy", "vectors.npy", "index.bin")
)
PRICES = f"{FR}/catalog/prices.npy"
SOURCES = "golden/sources.json"
FILES = (
    "encoders/two_tower_query.onnx",
    "encoders/two_tower_query.json",
    "encoders/trignet.onnx",
    "encoders/pdn_user.json",
    TOWER,
    TAKEN,
    TOWER_INDEX,
    NEIGHBOURS,
    SCORES,
    DIRECT,
    TRIGGERS,
    CART_ROWS,
    CART,
    CART_INDEX,
    PRICES,
    SOURCES,
)

Damages = dict[str, tuple[Damage, type[errors.BundleError]]]


def without(name: str) -> Damage:
    """Remove a file, sealed again."""
    return resealed(lambda bundle: (bundle / name).unlink())


def cell(row: int, column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Overwrite one cell of a table."""

    def change(table: np.ndarray) -> np.ndarray:
        table[row, column] = value
        return table

    return change


def first_to(source: str) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Find the first golden request to a source."""
    return lambda requests: next(request for request in requests if request["source"] == source)


def request(source: str, /, **changes: object) -> Damage:
    """Change fields of the first golden request to a source, sealed again."""
    return golden(lambda requests: first_to(source)(requests).update(changes), SOURCES)


def shifted(source: str, field: str, by: float = 1.0) -> Damage:
    """Add to a golden request's scores or, by its name, to what an encoder gives."""

    def change(requests: list[dict[str, Any]]) -> None:
        found = first_to(source)(requests)
        place = found if field == "scores" else found["encoded"]
        place[field] = [value + by for value in place[field]]

    return golden(change, SOURCES)


def feature(encoder: str, called: str, /, **changes: object) -> Damage:
    """Change one feature of an encoder's spec, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / f"encoders/{encoder}.json"
        found = json.loads(path.read_text())
        next(each for each in found["features"] if each["name"] == called).update(changes)
        path.write_text(json.dumps(found))

    return resealed(damage)


def older(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Call a manifest one of format 1.0, with all that it has not taken out again but what `change` puts in."""

    def damage(manifest: dict[str, Any]) -> None:
        manifest["format_version"] = "1.0"
        for place in (manifest, *manifest["countries"].values()):
            for field in ("pdn_triggers", "item_interaction", "prices", "two_tower", "pdn"):
                place.pop(field, None)
        for led in (each["led"] for each in manifest["countries"].values()):
            for field in ("scann", "reason"):
                led.pop(field)
            led["curve"] = [
                {key: point[key] for key in ("space", "ef", "recall", "search_us")} for point in led["curve"]
            ]
        change(manifest)

    return manifest_edit(damage)


def country(*keys: str, value: object) -> Damage:
    """Set a value in FR's part of the manifest."""
    return set_at("countries", "FR", *keys, value=value)
