"""What a model reads of items: ids, title words, category, merchant and price as rows of embedding tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist_training.catalogue import Catalogue
from shortlist_training.config_sources import ContentSettings
from shortlist_training.two_tower.features import (
    FIRST_KNOWN,
    PADDING,
    UNKNOWN,
    Vocabulary,
    bucket_bounds,
    bucketize,
    pad,
)

PRICE_BUCKETS = 10
TITLE_WORDS = 12
EMBEDDING_STD = 0.05  # small against the layers' own initialisation, so that no feature dominates at the start
SPARSE_FROM = 20_000
"""Rows from which a table's gradients are sparse: below, dense ones are faster."""

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class ItemContent:
    """I items as ids of tables. ids, category, merchant, price: (I,) int64; words: (I, W) int64, 0 is padding.

    None where the data has no such attribute. sizes: rows of each table by name. svd: (I, d) float32, LED's PMI-SVD.
    """

    ids: NDArray[np.int64]
    words: NDArray[np.int64] | None
    category: NDArray[np.int64] | None
    merchant: NDArray[np.int64] | None
    price: NDArray[np.int64] | None
    sizes: dict[str, int]
    svd: NDArray[np.float32]


def item_content(
    catalogue: Catalogue, counts: NDArray[np.int64], svd: NDArray[np.float32], settings: ContentSettings
) -> ItemContent:
    """Number what is known of I trained items; `counts` (I,) are training interactions.

    Words are runs of letters and digits, lower-cased; a title's first `TITLE_WORDS` count.
    """
    frequent = counts >= settings.min_item_count
    ids = np.full(len(counts), UNKNOWN, dtype=np.int64)
    ids[frequent] = np.arange(FIRST_KNOWN, FIRST_KNOWN + int(frequent.sum()))
    sizes = {"id": FIRST_KNOWN + int(frequent.sum())}
    words = None
    if catalogue.titles is not None:
        found = [WORD.findall(title.lower()) for title in catalogue.titles]
        known = Vocabulary.build((word for title in found for word in set(title)), settings.min_word_count)
        words = pad([known.encode(title) for title in found], TITLE_WORDS)
        sizes["word"] = known.size
    price = None
    if catalogue.prices is not None and np.isfinite(catalogue.prices).any():
        values = catalogue.prices.astype(np.float64)
        price = bucketize(values, bucket_bounds(values, PRICE_BUCKETS))
        sizes["price"] = PRICE_BUCKETS + FIRST_KNOWN
    return ItemContent(
        ids=ids,
        words=words,
        category=_numbered("category", catalogue.categories, sizes),
        merchant=_numbered("merchant", catalogue.merchants, sizes),
        price=price,
        sizes=sizes,
        svd=svd,
    )


def _numbered(name: str, values: Sequence[str] | None, sizes: dict[str, int]) -> NDArray[np.int64] | None:
    if values is None:
        return None
    known = Vocabulary.build(value for value in values if value)
    sizes[name] = known.size
    return known.encode(values)


class ItemEncoder(nn.Module):
    """Embeds items: `forward` is what queries know of one, `[id, mean title word, category]`, (N, width) float32.

    `details` adds merchant and price, which only item towers read. In training an item's id becomes unknown with
    probability `id_dropout`, so that its content and the unknown id learn to stand for a new item. sparse: give large
    tables sparse gradients, which not every optimizer takes.
    """

    ids: Tensor
    words: Tensor | None
    category: Tensor | None
    merchant: Tensor | None
    price: Tensor | None

    def __init__(
        self, content: ItemContent, settings: ContentSettings, id_dropout: float = 0.0, *, sparse: bool = False
    ) -> None:
        super().__init__()
        self.id_dropout = id_dropout
        self.register_buffer("ids", torch.from_numpy(content.ids), persistent=False)
        dims = {"id": settings.id_dim, "word": settings.word_dim}
        self.tables = nn.ModuleDict(
            {
                name: embedding_table(size, dims.get(name, settings.field_dim), sparse=sparse and size > SPARSE_FROM)
                for name, size in content.sizes.items()
            }
        )
        for name in ("words", "category", "merchant", "price"):
            values = getattr(content, name)
            self.register_buffer(name, None if values is None else torch.from_numpy(values), persistent=False)
        inner = [settings.id_dim]
        inner += [settings.word_dim] if content.words is not None else []
        inner += [settings.field_dim] if content.category is not None else []
        outer = [settings.field_dim for part in (content.merchant, content.price) if part is not None]
        self.width, self.details_width = sum(inner), sum(outer)
        self._begin_at_svd(content, settings)

    def forward(self, rows: Tensor) -> Tensor:
        """Embed (N,) rows: (N, width)."""
        ids = self.ids[rows]
        if self.training and self.id_dropout > 0.0:
            ids = torch.where(torch.rand(len(ids)) < self.id_dropout, UNKNOWN, ids)
        parts = [self._table("id", ids)]
        if self.words is not None:
            words = self.words[rows]
            count = (words != PADDING).sum(dim=1, keepdim=True).clamp(min=1)
            parts.append(self._table("word", words).sum(dim=1) / count)
        if self.category is not None:
            parts.append(self._table("category", self.category[rows]))
        return torch.cat(parts, dim=1)

    def details(self, rows: Tensor) -> Tensor:
        """Embed merchant and price of (N,) rows: (N, details_width)."""
        parts = [
            self._table(name, values[rows])
            for name, values in (("merchant", self.merchant), ("price", self.price))
            if values is not None
        ]
        return torch.cat(parts, dim=1) if parts else torch.zeros(len(rows), 0)

    def _table(self, name: str, ids: Tensor) -> Tensor:
        embedded: Tensor = self.tables[name](ids)
        return embedded

    def _begin_at_svd(self, content: ItemContent, settings: ContentSettings) -> None:
        if not settings.svd_scale:
            return
        leading = content.svd[:, : settings.id_dim]
        size = float(np.sqrt(np.mean(leading**2))) or 1.0
        known = np.flatnonzero(content.ids >= FIRST_KNOWN)
        with torch.no_grad():
            table = self.tables["id"].get_parameter("weight")
            start = torch.from_numpy(leading[known] * (settings.svd_scale / size))
            table[torch.from_numpy(content.ids[known]), : leading.shape[1]] = start


def embedding_table(size: int, dim: int, *, sparse: bool) -> nn.Embedding:
    """Make a table whose row `PADDING` stays zero."""
    table = nn.Embedding(size, dim, padding_idx=PADDING, sparse=sparse)
    nn.init.normal_(table.weight, std=EMBEDDING_STD)
    with torch.no_grad():
        table.weight[PADDING] = 0.0
    return table
