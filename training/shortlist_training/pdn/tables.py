"""A sum of rows of a small table for very many index lists, with a gradient that costs no more than the sum."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional


class TableSum(torch.autograd.Function):
    """Add up table rows: (N, S) int64 indices into a (V, H) float32 table give (N, H).

    torch's own gradient of `embedding_bag` sorts all indices, and takes some ten times as long as everything else in
    a step of PDN; as a product with the transposed (N, V) incidence matrix it takes about as long as the sum itself.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:  # noqa: ANN401 - torch gives it no type
        """Sum the rows."""
        ctx.save_for_backward(index)
        ctx.size = len(table)
        return functional.embedding_bag(index, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        """Add each sum's gradient to every row that is in it."""
        (index,) = ctx.saved_tensors
        lists, length = index.shape
        places = index.numpy().astype(np.int32).ravel()
        ends = np.arange(lists + 1, dtype=np.int32) * length
        used = sp.csr_matrix((np.ones(len(places), dtype=np.float32), places, ends), shape=(lists, ctx.size))
        return torch.from_numpy(np.asarray(used.T @ gradients[0].contiguous().numpy())), None


def table_sum(table: Tensor, index: Tensor) -> Tensor:
    """Give `TableSum` a type."""
    summed: Tensor = TableSum.apply(table, index)  # type: ignore[no-untyped-call]
    return summed
