"""The LED paper's experiments (Koch et al. 2020) on ML-1M; ML-20M and the Products data are not at hand."""

from dataclasses import asdict

import msgspec

from shortlist_training.reproduction import ml1m
from shortlist_training.reproduction.led_figures import (
    DRAWS,
    NEGATIVES,
    PASSES,
    RANDOM_DRAWS,
    SHARES,
    TUNING,
    figure_2,
    figure_3,
)
from shortlist_training.reproduction.led_grids import (
    DAE_GRID,
    EASE_LAMBDAS,
    SLIM_CONFIGS,
    VAE_GRID,
    WMF_CONFIGS,
    bpr_grid,
)
from shortlist_training.reproduction.led_models import DIM, LED_LOSSES, SVD_START
from shortlist_training.reproduction.led_tables import LENGTHS, histories, table_2
from shortlist_training.reproduction.parts import Part

_LOSSES = {loss: msgspec.to_builtins(config) for loss, config in LED_LOSSES.items()}

PARTS = (
    Part(
        name="led/table-2",
        title="LED against Mult-VAE, Mult-DAE, EASE and WMF",
        inputs=(ml1m.INPUT,),
        settings={
            "data": ml1m.SETTINGS,
            "dim": DIM,
            "losses": _LOSSES,
            "svd start": SVD_START,
            "vae": {name: asdict(config) for name, config in VAE_GRID.items()},
            "dae": {name: asdict(config) for name, config in DAE_GRID.items()},
            "bpr": {name: msgspec.to_builtins(config) for name, config in bpr_grid(LED_LOSSES["bpr"]).items()},
            "ease": EASE_LAMBDAS,
            "slim": [asdict(config) for config in SLIM_CONFIGS],
            "wmf": [asdict(config) for config in WMF_CONFIGS],
        },
        run=table_2,
    ),
    Part(
        name="led/figure-2",
        title="How many negatives BPR needs",
        inputs=(ml1m.INPUT,),
        settings={"data": ml1m.SETTINGS, "dim": DIM, "losses": _LOSSES, "negatives": NEGATIVES},
        run=figure_2,
    ),
    Part(
        name="led/figure-3",
        title="Fine-tuning SVD vectors on a share of the data",
        inputs=(ml1m.INPUT,),
        settings={
            "data": ml1m.SETTINGS,
            "dim": DIM,
            "tuning": {name: msgspec.to_builtins(config) for name, config in TUNING.items()},
            "shares": SHARES,
            "draws": [[share, draws] for share, draws in DRAWS.items()],
            "draws of random": RANDOM_DRAWS,
            "passes": PASSES,
        },
        run=figure_3,
    ),
    Part(
        name="led/histories",
        title="Short histories and rare movies",
        inputs=(ml1m.INPUT,),
        settings={
            "data": ml1m.SETTINGS,
            "dim": DIM,
            "led": _LOSSES["mult"],
            "svd start": SVD_START,
            "ease": EASE_LAMBDAS,
            "lengths": LENGTHS,
        },
        run=histories,
    ),
)
