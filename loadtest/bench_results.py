"""What the bench has measured, kept part by part."""

import json
from typing import Any

from loadtest.bench_bundle import CACHE

RESULTS = CACHE / "results"
FORMAT = 2
"""Of what is kept there; results of another are measured anew."""
Result = dict[str, Any]


def read_results() -> dict[str, Result]:
    """All parts that were measured, and what `loadtest.fit` found, by name; those of another format are left out."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    return {name: kept for name, kept in found.items() if kept.get("format") == FORMAT}


def keep(name: str, kept: Result) -> None:
    """Put a part's result in the place of its last."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"format": FORMAT, **kept}, indent=1) + "\n")
