"""The project file that trains on a drawn log: settings that a million items allow."""

_HELD_OUT = 500

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


def project(items: int, users: int) -> str:
    """Write the project file of a log with so many items and users."""
    held_out = min(_HELD_OUT, max(users // 10, 1))
    return _PROJECT.format(items=items, held_out=held_out, share=held_out / users)
