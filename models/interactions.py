"""The interaction vocabulary that the log, the bundle and the wire share."""

from enum import IntEnum


class InteractionType(IntEnum):
    """What a user did with an item. Values are those of `retrieval.v1.InteractionType` and never change."""

    UNSPECIFIED = 0
    VIEW = 1
    CLICK = 2
    FAVORITE = 3
    CART = 4
    PURCHASE = 5
