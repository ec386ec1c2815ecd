"""What training hands to the publisher: one value that holds all that will be in a bundle.

`index_store.publish.publish` turns it into a verified directory. Everything is in memory as numpy arrays; nothing here
knows about files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from index_store.index_entry import Engine, Space
from models.features import FeatureValue
from models.interactions import InteractionType
from models.spec import EncoderSpec


@dataclass(frozen=True)
class TwoTowerContent:
    """One country's two-tower items, over the country's rows.

    vectors: (N, K) float32, v(y) of the item tower. input_vectors: (N, e) float32, what the query tower knows of an
    item. calibration_queries: (Q, K) float32 and `own_queries` as for LED.
    """

    vectors: NDArray[np.float32]
    input_vectors: NDArray[np.float32]
    calibration_queries: NDArray[np.float32]
    own_queries: int


@dataclass(frozen=True)
class PdnContent:
    """One country's path index and direct net (Li et al. 2021, sections 4.4 and 5.2), over the country's rows.

    neighbours: (N, k) int32, each row's items by descending s_ji, without the row itself, each at most once; -1 where
    there are fewer than k, at the end. scores: (N, k) float16, s_ji, never increasing, -inf beside -1.
    item_vectors: (N, d + 1) float32, `[q_i, c]`, whose inner product with the user's `[p_u, 1]` is d_ui.
    trigger_vectors: (N, h) float32, the item's share of TrigNet's first layer.
    """

    neighbours: NDArray[np.int32]
    scores: NDArray[np.float16]
    item_vectors: NDArray[np.float32]
    trigger_vectors: NDArray[np.float32]


@dataclass(frozen=True)
class InteractionContent:
    """One country's (item, type) pairs of one type (Zhao et al., item-interaction embeddings, section 3.2).

    rows: (n,) int32, ascending, the rows that have a pair of this type. vectors: (n, d) float32 of length 1, so that
    inner products are cosines. calibration_queries: (Q, d) float32, vectors of pairs that held-out users end with.
    """

    rows: NDArray[np.int32]
    vectors: NDArray[np.float32]
    calibration_queries: NDArray[np.float32]


@dataclass(frozen=True)
class CountryContent:
    """One country's catalogue and LED vectors. Row r of every array and list is the same item.

    item_ids: (N,) uint64, unique, in any order. keys: the catalogue's own string keys, unique, or None where it has
    none. titles, merchants, categories: display strings, or None where the data has them not; "" means unknown.
    popularity: (N,) int64, the number of training interactions in this country.
    led_vectors: (N, d) float32, v_i. led_biases: (N,) float32, b_i.
    calibration_queries: (Q, d + 1) float32 user vectors of held-out users, own country first; `own_queries` of them
    are users of this country, the rest come from other countries to steady the estimate.
    prices: (N,) float32 in the catalogue's own currency, NaN where unknown, or None where the data has none.
    two_tower, pdn: None where the bundle lacks the source; a bundle has a source for all of its countries or for none.
    item_interaction: by type, only types that at least one item has here.
    """

    item_ids: NDArray[np.uint64]
    keys: Sequence[str] | None
    titles: Sequence[str] | None
    merchants: Sequence[str] | None
    categories: Sequence[str] | None
    popularity: NDArray[np.int64]
    led_vectors: NDArray[np.float32]
    led_biases: NDArray[np.float32]
    calibration_queries: NDArray[np.float32]
    own_queries: int
    prices: NDArray[np.float32] | None = None
    two_tower: TwoTowerContent | None = None
    pdn: PdnContent | None = None
    item_interaction: Mapping[InteractionType, InteractionContent] = field(default_factory=dict)


@dataclass(frozen=True)
class GoldenCase:
    """A request with the answer that training computed without any of the serving code.

    history: item ids, oldest first (may be empty). user_vector: (d + 1,) float32, from the trained model.
    item_ids and scores: the exact top k over the country, best first (higher is closer), equal scores by lower
    item id, history not excluded. types, times_ms: of the history, where LED weighs by them; otherwise empty.
    """

    country: str
    history: Sequence[int]
    k: int
    user_vector: NDArray[np.float32]
    item_ids: Sequence[int]
    scores: Sequence[float]
    types: Sequence[int] = ()
    times_ms: Sequence[int] = ()


@dataclass(frozen=True)
class SourceGoldenCase:
    """A request to one source other than LED, with the answer that training computed without the serving code.

    history: (item id, type, milliseconds since 1970 or 0), oldest first, not empty. seed: item id of the item that the
    user looks at, or None; two_tower only. encoded: by encoder name what it gives, flattened: `two_tower_query` (K,),
    `trignet` (L,) in the order of `models.pdn.triggers_of`, `pdn_user` (d + 1,); nothing for item_interaction.
    item_ids, scores: the exact top of the country, best first, equal scores by lower item id, history not excluded.
    two_tower: min(k, N) of them, inner products. pdn: at most k, the candidates of the top `pdn_triggers` triggers (of
    equal weights those with the lower item id) by equation 14, with s_ji as float16 keeps it. item_interaction: at most
    k, the items of the target types by their largest cosine with one of the last `last_n` pairs of each source type,
    the history's own items left out; a pair counts once, and not at all where the country has no vector of it.
    The encoders are asked with `UserContext(country, time_ms, newest_ms, history_length, features)`, where newest_ms is
    the largest time of the history and history_length its length.
    """

    source: Literal["two_tower", "pdn", "item_interaction"]
    country: str
    history: Sequence[tuple[int, int, int]]
    k: int
    encoded: Mapping[str, NDArray[np.float32]]
    item_ids: Sequence[int]
    scores: Sequence[float]
    seed: int | None = None
    time_ms: int = 0
    features: Mapping[str, FeatureValue] = field(default_factory=dict)


@dataclass(frozen=True)
class EncoderContent:
    """An exported encoder other than LED's: the ONNX graph's bytes and its spec."""

    graph: bytes
    spec: EncoderSpec


@dataclass(frozen=True)
class InteractionPolicy:
    """How item-interaction vectors are used (section 3.2): which types begin and end a module, and how many pairs.

    sources, targets: types, at least one each. last_n: most recent pairs of each source type.
    """

    sources: tuple[InteractionType, ...]
    targets: tuple[InteractionType, ...]
    last_n: int = 4


@dataclass(frozen=True)
class Timeline:
    """A sample user for `shortlist query --user`: item ids oldest first, types as `models.InteractionType` values."""

    user: str
    country: str
    item_ids: Sequence[int]
    types: Sequence[int]


@dataclass(frozen=True)
class BundleContent:
    """Everything of one bundle. `metrics` and `config` are JSON-able and go into the manifest as they are.

    data_fingerprint: sha256 (hex) over the training data files. `metrics` maps a model's name to metric names and
    values, e.g. {"led": {"recall@20": 0.28}, "popularity": {...}}.
    encoders: "two_tower_query" for two_tower, "trignet" and "pdn_user" for pdn; their specs are those of `models.spec`.
    pdn_triggers: m, how many triggers greedy retrieval follows (section 5.1).
    """

    led_onnx: bytes
    led_spec: EncoderSpec
    countries: Mapping[str, CountryContent]
    golden: Sequence[GoldenCase]
    timelines: Sequence[Timeline]
    data_fingerprint: str
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    config: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, EncoderContent] = field(default_factory=dict)
    source_golden: Sequence[SourceGoldenCase] = ()
    pdn_triggers: int = 50
    item_interaction: InteractionPolicy | None = None


@dataclass(frozen=True)
class IndexPolicy:
    """How the publisher chooses an index per country.

    A country with fewer than `exact_below` items is searched exactly. For others the settings of all `engines` that are
    installed are measured ("exact" up to `exact_measured_to` items), and the cheapest that reaches `recall_target` of
    recall@`recall_k` against exact search wins; of those within `margin` of the fastest, the first engine's.

    hnsw: a graph for each of `spaces` and `m`, each with the efs of `ef_grid`, but at least `recall_k`.
    scann: a tree of `scann_leaves` leaves (0: twice the root of N), codes of `scann_block` dimensions; SOAR of weight
    `scann_soar` from `scann_soar_from` items on; the tree is learned from `scann_sample` rows. Where few principal axes
    hold `scann_energy` of the vectors' squared lengths, tree and codes are over those axes, a code for each
    (`index_store.principal`). Searched are numbers of leaves of `leaves_grid`; reordered are the multiples of
    `recall_k` in `reorder_grid`.
    """

    recall_target: float = 0.95
    recall_k: int = 100
    exact_below: int = 2_000
    engines: tuple[Engine, ...] = ("exact", "hnsw", "scann")
    margin: float = 0.2
    exact_measured_to: int = 50_000
    m: int | tuple[int, ...] = 16
    ef_construction: int = 200
    ef_grid: tuple[int, ...] = (100, 128, 192, 256, 384, 512, 768, 1024, 2048)
    spaces: tuple[Space, ...] = ("ip", "l2_augmented")
    scann_leaves: int = 0
    scann_block: int = 2
    scann_soar: float | None = 1.5
    scann_soar_from: int = 100_000
    scann_sample: int = 250_000
    scann_energy: float = 0.99
    leaves_grid: tuple[int, ...] = (5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 160, 240, 320, 480, 640, 1000)
    reorder_grid: tuple[float, ...] = (1.5, 2, 3, 4, 6, 8, 12, 16, 24, 40)
    seed: int = 7

    @property
    def ms(self) -> tuple[int, ...]:
        """All M of graphs."""
        return (self.m,) if isinstance(self.m, int) else self.m
