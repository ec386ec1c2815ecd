"""Which engines are installed: hnswlib always, ScaNN where the extra `scann` is."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index_store.scann_index import ScannIndex


class ScannUnfit(Exception):
    """ScaNN makes no index of these vectors that could be stored: too few of them, or too many alike."""


def scann_engine() -> "type[ScannIndex] | None":
    """The class of ScaNN's indices, None where ScaNN is not installed. It is imported only for who needs it."""
    if find_spec("scann") is None:
        return None
    from index_store.scann_index import ScannIndex  # noqa: PLC0415 - an optional extra

    return ScannIndex
