"""The co-purchase baseline: items are close when the same items were bought with them (section 4.3.2; Linden 2003)."""

import ibis
import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from ibis import ir
from numpy.typing import NDArray

from models.interactions import InteractionType
from shortlist_training.splits import positions, sessions


def baskets(interactions: ir.Table, gap_s: int) -> ir.Table:
    """Group purchases: columns user, session, item; a pause of more than `gap_s` seconds begins another basket."""
    bought = interactions.filter(interactions["type"] == int(InteractionType.PURCHASE))
    placed = positions(bought.select("user", "item", "time", "type", "country"))
    whole = ibis.window(group_by=["user", "session"])
    cut = sessions(placed, gap_s).select("user", "session", "item").distinct()
    counted = cut.mutate(items=lambda t: t.count().over(whole))
    return counted.filter(counted.items > 1).drop("items").order_by("user", "session", "item")


def copurchase_counts(basket_items: pa.Table, items: NDArray[np.generic]) -> sp.csr_matrix:
    """Count the baskets that two items share: (I, I) float32 with an empty diagonal, laid out by ascending `items`."""
    user, session = (basket_items[name].to_numpy() for name in ("user", "session"))
    basket = np.cumsum((np.diff(user, prepend=user[:1]) != 0) | (np.diff(session, prepend=session[:1]) != 0))
    column = np.searchsorted(items, basket_items["item"].to_numpy())
    ones = np.ones(len(column), dtype=np.float32)
    held = sp.csr_matrix((ones, (basket, column)), shape=(int(basket.max(initial=0)) + 1, len(items)))
    counts = (held.T @ held).tolil()
    counts.setdiag(0)
    return counts.tocsr()


class CopurchaseScorer:
    """Scores items by the cosine of their co-purchase vectors, the rows of `counts`.

    own: the weight of the item itself in its vector, as a multiple of its largest count. With 0 two items that were
    bought together, but never with a third, have nothing in common.
    """

    def __init__(self, counts: sp.csr_matrix, own: float) -> None:
        strongest = counts.max(axis=1).toarray().ravel() if counts.nnz else np.zeros(counts.shape[0])
        vectors = (counts + sp.diags(own * strongest)).tocsr()
        lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1))).ravel()
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self._unit = (sp.diags(inverse) @ vectors).tocsr().astype(np.float32)
        self._across = self._unit.T.tocsr()
        self.covered: NDArray[np.bool_] = np.diff(counts.indptr) > 0

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score all items for source rows: (Q, I) float32, -inf where nothing is shared."""
        found = np.asarray((self._unit[rows] @ self._across).toarray(), dtype=np.float32)
        found[found <= 0] = -np.inf
        return found
