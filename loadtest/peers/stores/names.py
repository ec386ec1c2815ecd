"""Names that a store's client shares with the bench, whose environment has none of the store's packages."""

AUGMENTED = "hnsw_l2"
"""pgvector's variant whose items have one more dimension, so that the order of distances is that of inner products."""
