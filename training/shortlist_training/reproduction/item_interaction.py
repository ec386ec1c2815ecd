"""Item-interaction embeddings (Zhao et al. 2019) on RetailRocket: equation 3, held-out purchases, throughput."""

from functools import partial

import msgspec

from shortlist_training.item_interaction.skipgram import SkipgramConfig
from shortlist_training.item_interaction.tokens import MIN_EVENTS
from shortlist_training.reproduction import (
    item_interaction_sessions,
    item_interaction_speed,
    item_interaction_users,
)
from shortlist_training.reproduction.item_interaction_data import EVENTS, PURCHASES
from shortlist_training.reproduction.item_interaction_models import CopurchaseChoice, Grids
from shortlist_training.reproduction.parts import Part

GAP_S = 1800
SIZES = (10, 20, 50, 100, 200, 500, 1000)

GRIDS = Grids(
    gap_s=GAP_S,
    min_events=MIN_EVENTS,
    epochs_and_rates=((5, 0.1), (10, 0.05), (10, 0.1), (20, 0.05), (20, 0.1)),
    copurchase=tuple(CopurchaseChoice(gap_s=gap_s, own=own) for gap_s in (GAP_S, 86_400, 10**9) for own in (0.0, 1.0)),
)

SESSIONS = item_interaction_sessions.SessionSettings(window_days=14, gap_s=GAP_S, sizes=SIZES, grids=GRIDS)
USERS = item_interaction_users.UserSettings(sizes=SIZES, lasts=(1, 4, 10), grids=GRIDS)
SPEED = item_interaction_speed.SpeedSettings(
    gap_s=GAP_S, repeats=150, items=200_000, tokens=20_000_000, session_length=12, skipgram=SkipgramConfig()
)

PARTS: list[Part] = [
    Part(
        name="item-interaction/sessions",
        title="Item-interaction embeddings: hit rate and coverage after training (figure 3, tables 1 to 3)",
        inputs=(EVENTS,),
        settings=msgspec.to_builtins(SESSIONS),
        run=partial(item_interaction_sessions.run, settings=SESSIONS),
        revision=2,
    ),
    Part(
        name="item-interaction/users",
        title="Item-interaction embeddings: held-out purchases of RetailRocket's buyers",
        inputs=(EVENTS, PURCHASES),
        settings=msgspec.to_builtins(USERS),
        run=partial(item_interaction_users.run, settings=USERS),
        revision=2,
    ),
    Part(
        name="item-interaction/throughput",
        title="Item-interaction embeddings: training throughput",
        inputs=(EVENTS,),
        settings=msgspec.to_builtins(SPEED),
        run=partial(item_interaction_speed.run, settings=SPEED),
        revision=2,
    ),
]
