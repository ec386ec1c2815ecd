"""From item ids to rows: a hash table in three arrays, for lookups of a few ids among millions in a few numpy calls.

A binary search among a million ids is twenty steps that miss the cache; here an id is two places in memory.
"""

import numpy as np
from numpy.typing import NDArray

# odd, so that multiplying by it modulo 2**64 gives different ids different numbers: what is compared is the product
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class IdTable:
    """N different ids, each of which belongs to one row. repeated: ids given more than once; no lookup while any are.

    Buckets are the highest bits of the products; products lie in ascending order, so that a bucket's stand together.
    The table itself, for whoever looks up by other means: begins, int32, where each bucket begins; products, uint64,
    N and then `width` zeros; ordered_rows, (N,) int32, the products' rows; shift, which leaves a product's bucket;
    width, of the largest bucket.
    """

    def __init__(self, item_ids: NDArray[np.uint64]) -> None:
        products = item_ids * _MULTIPLIER
        rows = np.argsort(products, kind="stable")
        products = products[rows]
        bits = max(len(item_ids).bit_length(), 1)
        self.repeated: NDArray[np.uint64] = item_ids[rows[1:]][products[1:] == products[:-1]]
        self.shift = 64 - bits
        self._shift = np.uint64(self.shift)
        sizes = np.bincount((products >> self._shift).view(np.int64), minlength=1 << bits)
        self.begins = (np.cumsum(sizes) - sizes).astype(np.int32)
        self.width = int(sizes.max())
        self._within = np.arange(self.width)
        # a bucket is read to the largest one's width: the last ones beyond the end, where 0 is no product of theirs
        self.products = np.concatenate([products, np.zeros(self.width, dtype=np.uint64)])
        self.ordered_rows = rows.astype(np.int32)

    def rows(self, item_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Find the rows (M,) of M ids, -1 for an id that is not in the table."""
        products = item_ids * _MULTIPLIER
        begins = self.begins.take((products >> self._shift).view(np.int64))
        places = begins[:, None] + self._within
        hits = (self.products.take(places) == products[:, None]).ravel().nonzero()[0]
        found: NDArray[np.int64] = self.ordered_rows.take(places.ravel().take(hits)).astype(np.int64)
        if len(found) == len(item_ids):
            return found
        rows = np.full(len(item_ids), -1)
        rows[hits // max(self.width, 1)] = found
        return rows
