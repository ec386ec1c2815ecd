"""`python -m loadtest.fit BUNDLE`: the recipe that draws catalogues like a bundle's LED vectors, shown beside them.

Lengths, biases and popularity are read off; how items lie to each other is searched: spectrum and nearest neighbours of
drawn catalogues of the same size are compared with the bundle's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from index_store.manifest import read_manifest
from loadtest.bench_results import FORMAT, RESULTS
from loadtest.catalogue import REFERENCE, Recipe, draw
from loadtest.catalogue_statistics import Statistics, statistics

_GRID: Mapping[str, Sequence[float]] = {
    "rank": (0.1, 0.2, 0.3, 0.5, 0.75, 1.0),  # of the dimensions
    "decay": (0.0, 0.25, 0.5, 0.75, 1.0),
    "within": (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0),
    "clusters": (3, 6, 12, 25, 50, 100, 300),  # items per cluster
    "cluster_exponent": (0.0, 0.4, 0.8),
}
_ROUNDS = 2
_LARGEST = 20_000


def main(
    bundle: Annotated[Path, typer.Argument(help="A version's directory.")],
    country: Annotated[str, typer.Option(help="Whose vectors.", show_default="the largest")] = "",
    reference: Annotated[int, typer.Option(help="Items of the reference that is shown beside.")] = 1_000_000,
    out: Annotated[Path, typer.Option(help="Where the result is kept for the page.")] = RESULTS / "fit.json",
) -> None:
    """Fit, print, keep."""
    manifest = read_manifest(bundle)
    code = country or max(manifest.countries, key=lambda each: manifest.countries[each].items)
    vectors = np.load(bundle / "countries" / code / "led" / "vectors.npy")
    popularity = np.load(bundle / "countries" / code / "catalog" / "popularity.npy")
    real = statistics(vectors[:, :-1], vectors[:, -1], popularity)
    recipe = fit(vectors, popularity)
    beside = {
        f"{manifest.name} {code}": real,
        "fitted": of_recipe(recipe),
        "fitted, reference size": of_recipe(recipe.of_size(min(reference, 100_000))),
        "reference": of_recipe(REFERENCE.of_size(reference)),
    }
    Console().print(_table(beside))
    Console().print(recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    told = {name: asdict(each) for name, each in beside.items()}
    kept = {"format": FORMAT, "recipe": asdict(recipe), "statistics": told}
    out.write_text(json.dumps(kept, indent=1) + "\n")


def of_recipe(recipe: Recipe) -> Statistics:
    """Measure what a recipe draws."""
    drawn = draw(recipe)
    return statistics(drawn.vectors, drawn.biases, drawn.popularity)


def fit(vectors: NDArray[np.float32], popularity: NDArray[np.int64]) -> Recipe:
    """Find the recipe for `[v_i, b_i]` (N, d + 1) and popularity (N,); of large catalogues a sample's."""
    if len(vectors) > _LARGEST:
        rows = np.random.default_rng(0).choice(len(vectors), _LARGEST, replace=False)
        vectors, popularity = vectors[rows], popularity[rows]
    real = statistics(vectors[:, :-1], vectors[:, -1], popularity)
    recipe = Recipe(
        items=real.items,
        dim=real.dim,
        rank=real.dim,
        clusters=max(1, real.items // 12),
        within=1.0,
        norm_sigma=real.norm_sigma,
        popularity_exponent=real.popularity_slope,
        norm_popularity=float(np.clip(real.norm_popularity, -0.95, 0.95)),
        bias_mean=real.bias_mean,
        bias_sigma=real.bias_sigma,
    )
    tried: dict[str, float] = {}
    steps = [(name, value) for _ in range(_ROUNDS) for name, values in _GRID.items() for value in values]
    for name, value in track(steps, "fitting", console=Console(stderr=True)):
        other = _changed(recipe, name, value)
        recipe = min(recipe, other, key=lambda each: _distance(each, real, tried))
    return recipe


def _changed(recipe: Recipe, name: str, value: float) -> Recipe:
    if name == "rank":
        return replace(recipe, rank=max(1, round(value * recipe.dim)))
    if name == "clusters":
        return replace(recipe, clusters=max(1, round(recipe.items / value)))
    return replace(recipe, **{name: value})  # type: ignore[arg-type] # the others are floats


def _distance(recipe: Recipe, real: Statistics, tried: dict[str, float]) -> float:
    """How unlike: relative differences of effective rank and of the neighbours' angles, squared."""
    if recipe.key not in tried:
        drawn = of_recipe(recipe)
        names = ("cosine_1", "cosine_10", "cosine_100", "top_10")
        gaps = [getattr(drawn, name) - getattr(real, name) for name in names]
        gaps.append(0.5 * float(np.log(drawn.effective_rank / real.effective_rank)))
        tried[recipe.key] = float(np.square(gaps).sum())
    return tried[recipe.key]


def _table(beside: Mapping[str, Statistics]) -> Table:
    table = Table(title="Catalogues side by side", title_justify="left")
    table.add_column("statistic")
    for name in beside:
        table.add_column(name, justify="right")
    for field in asdict(next(iter(beside.values()))):
        table.add_row(field, *(f"{getattr(each, field):,.4g}" for each in beside.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
