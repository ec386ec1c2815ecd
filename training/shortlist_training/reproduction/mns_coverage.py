"""Whether uniform negatives pay once batches show few of the items: MovieLens-100k with few of its training labels.

On both data sets the curve over B' falls from B' = 0. The report lays that to the batches, which show nearly every item
many times an epoch, where the paper's catalogue is far larger than what its batches show. Here that is put to the test:
most labels of the training queries are left out, and nothing else changes. What is left shows a part of the catalogue
only, as positives and so as negatives of others; the rest is cold in the tables. All samplers have the same settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import msgspec
import numpy as np
import scipy.sparse as sp

from shortlist_training.reproduction.mns import Settings, compared, swept, view_of
from shortlist_training.reproduction.mns_movielens import DATA, SETTINGS, WORDS
from shortlist_training.reproduction.mns_runs import Measured
from shortlist_training.reproduction.mns_tables import (
    BATCH_NEGATIVES,
    DIFFERENCES,
    MNS,
    MNS_OF_THE_DAY,
    OURS,
    RECALL_NAMES,
    cell,
    comparison_table,
    difference_table,
    order_remarks,
    signed,
    sweep_remarks,
    sweep_table,
)
from shortlist_training.reproduction.mns_view import View
from shortlist_training.reproduction.parts import Cell, Curve, Part, PartContext, PartResult, Plot, ResultTable
from shortlist_training.time_split import RECALL_AT, Recall
from shortlist_training.two_tower.dataset import RetrievalData
from shortlist_training.two_tower.experiment import Index
from shortlist_training.two_tower.movielens import BLOCK, FILES, TRAIN_SHARE, VALIDATION_SHARE, build_movielens


@dataclass(frozen=True)
class Regime:
    """How little batches show. keep: one training label in so many is left; batch: B.

    epochs, patience: fewer labels make shorter epochs, so there are more of them.
    """

    keep: int
    batch: int
    epochs: int
    patience: int


REGIMES = (Regime(8, 128, 40, 5), Regime(64, 128, 100, 15), Regime(64, 16, 100, 15))
COMPARED = REGIMES[1]
"""Where table 1's samplers are compared too, with its B = 128: the fewest labels."""
TIMES = (0, 1, 4, 16)
INDEX: Index = "catalogue"
"""Where uniform negatives come from: all movies, those too that no batch shows. That is what is tested."""
SEEDS = 2
SHOWN = (RECALL_AT[-1], RECALL_NAMES[-1])


@dataclass(frozen=True)
class Swept:
    """What one regime gave, by B'."""

    regime: Regime
    data: RetrievalData
    view: View
    measured: Mapping[int, Measured]

    @property
    def name(self) -> str:
        """Tell it from the others in titles."""
        labels, seen = len(self.data.training_pairs().items), float((self.data.counts > 0).mean())
        return f"{labels:,} labels that show {seen:.0%} of the movies, B = {self.regime.batch}"


def run_coverage(context: PartContext) -> PartResult:
    """Sweep B' in every regime, and compare table 1's samplers where batches show least."""
    whole, seed = build_movielens(context.data, DATA), context.seed
    found = [_swept(context, thinned(whole, regime.keep, seed), regime) for regime in REGIMES]
    data = thinned(whole, COMPARED.keep, seed)
    settings = _settings(COMPARED)
    samplers = compared(_folder(context, f"one-label-in-{COMPARED.keep}"), data, settings, {})
    view = view_of(data, settings, seed, WORDS)
    return PartResult(
        tables=(
            coverage_table(whole, found, seed),
            *(table for one in found for table in _sweep_tables(one, seed)),
            *_comparison(samplers, view, data, seed),
        ),
        plots=(coverage_plot(found, seed),),
        remarks=(
            *(f"{one.name}: {said}" for one in found for said in _said(one, seed)),
            *(f"Table 1's samplers: {said}" for said in order_remarks(samplers, view, seed)),
            source_remark(samplers, view, seed),
        ),
    )


def thinned(data: RetrievalData, keep: int, seed: int) -> RetrievalData:
    """Leave one random training label in `keep`; counts are then those of what is left. 1 keeps all of them.

    Catalogue, queries with their histories, exclusions, validation and test labels stay as they are. Fewer labels of
    one seed are among its more.
    """
    rows, items = data.labels.nonzero()
    trained = np.flatnonzero(data.split[rows] == "train")
    order = np.random.default_rng(seed).permutation(trained)
    left = np.ones(len(rows), dtype=np.bool_)
    left[order[-(-len(order) // keep) :]] = False
    labels = sp.csr_matrix((np.ones(left.sum(), dtype=data.labels.dtype), (rows[left], items[left])), data.labels.shape)
    counts = np.asarray(labels[data.of("train")].sum(axis=0), dtype=np.int64).ravel()
    return replace(data, labels=labels, counts=counts)


def _settings(regime: Regime) -> Settings:
    return replace(SETTINGS, epochs=regime.epochs, patience=regime.patience, seeds=SEEDS)


def _swept(context: PartContext, data: RetrievalData, regime: Regime) -> Swept:
    folder = _folder(context, f"one-label-in-{regime.keep}-batch-{regime.batch}")
    sizes = [times * regime.batch for times in TIMES]
    settings = _settings(regime)
    measured = swept(folder, data, settings, sizes, batch=regime.batch, index=INDEX)
    return Swept(regime, data, view_of(data, settings, context.seed, WORDS), measured)


def _folder(context: PartContext, name: str) -> PartContext:
    work = context.work / name
    work.mkdir(exist_ok=True)
    return replace(context, work=work)


def coverage_table(whole: RetrievalData, found: Sequence[Swept], seed: int) -> ResultTable:
    """Show how much of the catalogue the labels of each regime show, beside all labels."""
    datas = {len(one.data.training_pairs().items): one.data for one in found}
    datas = {len(whole.training_pairs().items): whole, **datas}
    rows = []
    for labels, data in datas.items():
        counts = np.bincount(data.training_pairs().items, minlength=len(data.counts))
        wanted = data.labels[data.of("test")].nonzero()[1]
        cells = (
            f"{(counts > 0).sum():,} of {len(counts):,}",
            f"{(counts > 0).mean():.0%}",
            f"{np.median(counts):g}",
            f"{(counts[wanted] > 0).mean():.0%}",
        )
        rows.append((f"{labels:,} labels", cells))
    return ResultTable(
        title="What batches show in an epoch",
        protocol=f"{found[0].view.protocol(seed)} Training labels are left out at random; validation and test labels, "
        "histories and features stay. The first row is all labels, those of the sweep on MovieLens-100k above. Cold in "
        "the tables below: movies that no label left shows; head: the most frequent fifth of the shown.",
        columns=(
            "movies shown",
            "of the catalogue",
            "batches that show the median movie",
            "test labels of shown movies",
        ),
        rows=tuple(rows),
    )


def _sweep_tables(one: Swept, seed: int) -> tuple[ResultTable, ResultTable]:
    table = sweep_table(one.measured, one.view, one.regime.batch, seed)
    named = {_of_batch(size, one.regime): run for size, run in one.measured.items()}
    first, *others = named
    pairs = [(other, first) for other in others]
    return (
        msgspec.structs.replace(table, title=f"Growing B': {one.name}"),
        msgspec.structs.replace(
            difference_table(named, one.view, pairs, seed), title=f"Differences to B' = 0, paired: {one.name}"
        ),
    )


def _of_batch(size: int, regime: Regime) -> str:
    return f"B' = {size / regime.batch:g} B" if size else "B' = 0"


def _comparison(
    samplers: Mapping[str, Measured], view: View, data: RetrievalData, seed: int
) -> tuple[ResultTable, ResultTable]:
    few = f"{len(data.training_pairs().items):,} labels"
    table = comparison_table(samplers, view, seed)
    differences = difference_table(samplers, view, (*DIFFERENCES, *OURS), seed)
    note = " The index of the training day holds the movies that the labels left show, and no others."
    return (
        msgspec.structs.replace(table, title=f"{table.title}, {few}", protocol=table.protocol + note),
        msgspec.structs.replace(differences, title=f"{differences.title}, {few}"),
    )


def coverage_plot(found: Sequence[Swept], seed: int) -> Plot:
    """Draw what each B' changes against B' = 0, a curve for each regime."""
    k, name = SHOWN
    curves = []
    for one in found:
        first, *others = one.measured
        runs = [one.view.difference(one.measured[size], one.measured[first], k, seed) for size in others]
        cells = [Cell(0.0, 0.0, 0.0), *(cell(run) or Cell(0.0) for run in runs)]
        low, high = (tuple(end or 0.0 for end in ends) for ends in zip(*((c.low, c.high) for c in cells), strict=True))
        curves.append(Curve(one.name, tuple(map(float, range(len(cells)))), tuple(c.value for c in cells), low, high))
    return Plot(
        name="mns-coverage",
        title=f"Change of {name} by uniform negatives on MovieLens-100k",
        x_label="B' / B",
        y_label=f"{name} minus that of B' = 0",
        curves=tuple(curves),
        x_names=tuple(str(times) for times in TIMES),
    )


def source_remark(samplers: Mapping[str, Measured], view: View, seed: int) -> str:
    """Say whether uniform negatives pay by their number, or by the movies that no batch shows."""

    def gained(name: str) -> str:
        return _by_k([view.difference(samplers[name], samplers[BATCH_NEGATIVES], k, seed) for k in RECALL_AT])

    return (
        f"What pays in uniform negatives: drawn from all movies MNS is {gained(MNS)} from batch negatives; drawn, as "
        f"many, from the shown movies only it is {gained(MNS_OF_THE_DAY)}."
    )


def _said(one: Swept, seed: int) -> tuple[str, ...]:
    """Say where the best B' lies, and what the B' that validation chooses is worth on the test labels."""
    best = sweep_remarks(one.measured, one.view, one.regime.batch, seed)[: len(RECALL_AT)]
    first, *others = one.measured
    chosen = max(one.measured, key=lambda size: one.measured[size].validation.mean())
    held = others[-1] if chosen == first else chosen
    leads = [one.view.difference(one.measured[held], one.measured[first], k, seed) for k in RECALL_AT]
    which = "the largest" if chosen == first else "it"
    chooses = f"Validation chooses {_of_batch(chosen, one.regime)}; {which} is {_by_k(leads)} from B' = 0."
    return (*best, chooses)


def _by_k(found: Sequence[Recall]) -> str:
    return ", ".join(f"@{k} {signed(one)}" for k, one in zip(RECALL_AT, found, strict=True))


def _keyed() -> dict[str, object]:
    models = {name: value for name, value in asdict(SETTINGS).items() if name not in {"split", "epochs", "patience"}}
    return {
        "models": msgspec.to_builtins({**models, "seeds": SEEDS}),
        "regimes": [asdict(regime) for regime in REGIMES],
        "compared": asdict(COMPARED),
        "times": TIMES,
        "index": INDEX,
        "shares": {"train": TRAIN_SHARE, "validation": VALIDATION_SHARE, "block": BLOCK},
    }


PARTS = [
    Part(
        name="mns/coverage",
        title="Is it that batches show nearly everything? MovieLens-100k with few labels",
        inputs=FILES,
        settings=_keyed(),
        run=run_coverage,
    )
]
