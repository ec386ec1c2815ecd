"""Ask the processor for rows that will be needed soon, from within compiled code, for which numba has no function."""

from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit
from numba.core import cgutils, types
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

LINE_FLOATS = 16
"""Floats in a cache line of 64 bytes."""

_FOR_WRITING, _KEEP_CLOSE, _DATA = 1, 3, 1
_NUMBER, _ADDRESS = ir.IntType(32), ir.IntType(8).as_pointer()


@intrinsic
def prefetch(
    _: object, array: types.Array, row: types.Integer, column: types.Integer
) -> tuple[Signature, Callable[..., object]]:
    """Begin to load the line of an element of a 2-D array, to be written to; changes nothing but the time it takes."""

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[ir.Value]
    ) -> ir.Value:
        kind = signature.args[0]
        held = context.make_array(kind)(context, builder, arguments[0])  # type: ignore[no-untyped-call]
        place = cgutils.get_item_pointer(context, builder, kind, held, arguments[1:])  # type: ignore[no-untyped-call]
        shape = ir.FunctionType(ir.VoidType(), [_ADDRESS, *[_NUMBER] * 3])
        function = builder.module.declare_intrinsic("llvm.prefetch", [_ADDRESS], shape)
        how = (_NUMBER(number) for number in (_FOR_WRITING, _KEEP_CLOSE, _DATA))
        builder.call(function, [builder.bitcast(place, _ADDRESS), *how])
        return context.get_dummy_value()  # type: ignore[no-untyped-call]

    return types.void(array, row, column), generate


@njit(nogil=True)
def prefetch_rows(vectors: NDArray[np.float32], rows: NDArray[np.int64], begin: int, end: int) -> None:
    """Begin to load the rows of `vectors`, (V, d) float32, that rows[begin:end] names."""
    for at in range(begin, end):
        for column in range(0, vectors.shape[1], LINE_FLOATS):
            prefetch(vectors, rows[at], column)  # type: ignore[call-arg, arg-type]  # compiled: no typing context
