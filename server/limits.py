"""How large a request may be: limits of the settings, and of the contract (protos/retrieval/v1/retrieval.proto)."""

import msgspec

MAX_KEY_BYTES = 256
MAX_NAME_BYTES = 256
MAX_NAMES = 1000
MAX_FEATURES = 64
MAX_FEATURE_NAME_BYTES = 64
MAX_CATEGORY_BYTES = 256


class Limits(msgspec.Struct, frozen=True):
    """What one request may ask for: candidates, interactions, excluded items; requests in a batch."""

    max_k: int
    max_history: int
    max_excluded: int = 20_000
    max_batch: int = 256

    @property
    def max_fields(self) -> int:
        """How many wire fields the largest sensible request has, with room for fields of newer callers."""
        return 8 * (self.max_history + MAX_FEATURES) + self.max_excluded + 2 * MAX_NAMES + 1000

    @property
    def max_batch_fields(self) -> int:
        """The same for a batch, whose bytes are limited before."""
        return self.max_fields + 256 * self.max_batch
