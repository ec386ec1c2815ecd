"""Table 1 of the item-interaction paper: hit rates of 200 candidates by target interaction, and changes in percent.

The paper prints changes only, relative to no-interaction. Ours stand beside them in the same terms, paired by user.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.hit_rate import user_interval
from shortlist_training.reproduction.intervals import change_cell, percent
from shortlist_training.reproduction.item_interaction_models import ALL, PURCHASE, SELECTION_SIZE
from shortlist_training.reproduction.parts import Cell, ResultTable

SAMPLES = 1000
SHOWN = ("as equation 3", "other items")
VIEW_INTERACTION, REFERENCE = "view-interaction", "no-interaction"
PAPER = {
    "view-interaction": (201.90, 198.11, 207.10),
    "cart-interaction": (-6.88, 34.88, 47.74),
    "co-purchase": (76.89, 179.70, 129.60),
}
"""Percent change of the hit rate against no-interaction, for views, carts and purchases."""

Rates = Mapping[tuple[str, InteractionType], Mapping[str, NDArray[np.float64]]]
"""Hit rates, (P,) with NaN where nothing was wanted, by variant and target interaction, then by model."""

Users = Mapping[InteractionType, NDArray[np.int64]]
"""Whose each query of a target interaction is: (P,)."""


def rate_cell(rates: NDArray[np.float64], users: NDArray[np.int64], seed: int) -> Cell:
    """Average queries' hit rates, (P,); the interval resamples their users."""
    return Cell(float(np.nanmean(rates)), *user_interval(rates, users, SAMPLES, seed))


def rate_change(
    rates: NDArray[np.float64], reference: NDArray[np.float64], users: NDArray[np.int64], seed: int
) -> Cell | None:
    """Compare two models on the same queries, (P,) each, in percent; None if the reference never finds anything.

    What is compared are the sums of users' rates, so that users are what is resampled, each with both of their sums.
    """
    _, owner = np.unique(users, return_inverse=True)
    ours = np.bincount(owner, weights=np.nan_to_num(rates)).astype(np.float64)
    theirs = np.bincount(owner, weights=np.nan_to_num(reference)).astype(np.float64)
    return change_cell(ours, theirs, seed) if theirs.any() else None


def target_table(rates: Rates, users: Users, protocol: str, seed: int) -> ResultTable:
    """Every model's hit rates by target interaction, in the variants `SHOWN`."""
    asked = _asked()
    names = rates[asked[0]]
    return ResultTable(
        f"Hit rate of {SELECTION_SIZE} candidates by target interaction (table 1)",
        protocol + " Candidates are the same for all target interactions; settings were chosen for purchases.",
        tuple(f"{kind.name.lower()}, {variant}" for variant, kind in asked),
        tuple((name, tuple(rate_cell(rates[at][name], users[at[1]], seed) for at in asked)) for name in names),
    )


def change_table(rates: Rates, users: Users, protocol: str, seed: int) -> ResultTable:
    """Every model's changes against no-interaction, beside the paper's table 1, which has nothing else."""
    asked = _asked()
    rows = []
    for name in rates[asked[0]]:
        if name == REFERENCE:
            continue
        ours = [_text(rate_change(rates[at][name], rates[at][REFERENCE], users[at[1]], seed)) for at in asked]
        paper = [f"{value:.2f}" for value in PAPER[name]] if name in PAPER else [None] * len(ALL)
        rows.append((name, (*ours, *paper)))
    kinds = [kind.name.lower() for kind in ALL]
    return ResultTable(
        f"Change in hit rate of {SELECTION_SIZE} candidates relative to {REFERENCE}, % (table 1)",
        f"{protocol} Changes are paired by user. The paper prints changes only, no hit rates; its data are Etsy's.",
        (
            *(f"{kind.name.lower()}, {variant}" for variant, kind in asked),
            *(f"paper: {kind}, % relative to {REFERENCE}" for kind in kinds),
        ),
        tuple(rows),
    )


def view_table(rates: Rates, users: Users, protocol: str, seed: int) -> ResultTable:
    """View-interaction against each other model on purchases, in all variants."""
    variants = [variant for variant, kind in rates if kind is PURCHASE]
    view = {variant: rates[variant, PURCHASE][VIEW_INTERACTION] for variant in variants}
    rows = []
    for name in rates[variants[0], PURCHASE]:
        if name == VIEW_INTERACTION:
            continue
        changes = [
            _text(rate_change(view[variant], rates[variant, PURCHASE][name], users[PURCHASE], seed))
            for variant in variants
        ]
        rows.append((name, (*changes, f"{PAPER[VIEW_INTERACTION][-1]:.2f}" if name == REFERENCE else None)))
    return ResultTable(
        f"View-interaction against the others at {SELECTION_SIZE} candidates, %",
        f"{protocol} How much more or less of the purchases view-interaction finds than the row's model; paired by "
        "user. The paper prints view-interaction's change relative to no-interaction only.",
        (*variants, f"paper: purchase, % relative to {REFERENCE}"),
        tuple(rows),
    )


def _asked() -> list[tuple[str, InteractionType]]:
    return [(variant, kind) for variant in SHOWN for kind in ALL]


def _text(change: Cell | None) -> str | None:
    return None if change is None else percent(change)
