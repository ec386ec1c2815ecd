"""The project file that trains on a drawn log: settings that a million items allow."""

from collections.abc import Collection
from enum import StrEnum

_HELD_OUT = 500


class SourceName(StrEnum):
    """A source that may be trained beside LED."""

    TWO_TOWER = "two_tower"
    PDN = "pdn"


_PROJECT = """\
# A drawn log of {items:,} items: python -m loadtest.draw_log --items {items} --out DIR

name = "drawn-{items}"
seed = 7

[interactions]
path = "events.parquet"
user = "user"
item = "item"
time = "time"
time_unit = "ms"

[interactions.type]
column = "event"
mapping = {{ VIEW = "VIEW", CART = "CART", PURCHASE = "PURCHASE" }}

[interactions.country]
constant = "FR"

[items]
path = "items.parquet"
item = "item"
category = "category"
merchant = "merchant"
price = "price"

# Held-out users are ranked against all items: {held_out} of each kind are enough, and affordable.
[split]
validation = {share:.6f}
test = {share:.6f}

# Most pairs of rare items occur once.
[cooccurrence]
within = "session"
window = 3
min_count = 1

[evaluate]
ease_max_items = 0 # it has items x items weights

[svd]
dim = 100
iterations = 2

# U sqrt(S) with the lengths it has: a hundred dimensions hold more of common items than of rare ones.
[led]
normalize = false
scale = 4.0
epochs = 4
patience = 2
batch_users = 1024
learning_rate = 3e-2
negatives = 500
dropout = 0.1
max_targets = 5

# Graphs of a million items take ten minutes each: python -m loadtest.bench_engines builds and compares them.
[index]
engines = ["exact", "scann"]
"""

# One pass or two over all users: each takes minutes.
_SOURCES: dict[SourceName, str] = {
    SourceName.TWO_TOWER: """\

# Nobody has a hundred items: few targets lose little.
[two_tower]
epochs = 2
batch_users = 512
max_targets = 5
""",
    SourceName.PDN: """\

# Candidates take items x by_log x (folds + 1) x 20 bytes: 2.4 GB for a million items. None are found by profile, since
# without titles all of a category's ten thousand items are equally alike.
[pdn]
folds = 2
by_log = 40
by_profile = 0
neighbours = 40
triggers = 20
max_history = 20
epochs = 1
batch_users = 256
max_targets = 5
""",
}


def project(items: int, users: int, sources: Collection[SourceName] = ()) -> str:
    """Write the project file of a log with so many items and users; `sources` are trained beside LED."""
    held_out = min(_HELD_OUT, max(users // 10, 1))
    base = _PROJECT.format(items=items, held_out=held_out, share=held_out / users)
    return base + "".join(text for name, text in _SOURCES.items() if name in sources)
