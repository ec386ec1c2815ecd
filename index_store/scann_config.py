"""What ScaNN is told, from the manifest's settings alone: the writer builds with it, the reader expects it in the file.

The recipe: a k-means tree over a sample, product quantisation of what the tree leaves over (anisotropic: errors along
the vector count more), inner products of the best codes with the vectors themselves. Where the vectors lie near a few
principal axes, tree and codes are over those: fewer and finer codes of what matters. Guo et al. 2020; with SOAR (Sun et
al. 2023) every row lies in a second leaf chosen for errors that are unlike the first one's. k-means++ from a seed, on
one thread: a random beginning is not seeded by ScaNN 1.4.2, and with more threads the codes differ in the last bits.
"""

from typing import Any

from scann.proto.scann_pb2 import ScannConfig

from index_store.index_entry import ScannEntry

_CODE_SAMPLE = 100_000
_TREE_ITERATIONS, _CODE_ITERATIONS = 12, 10
_SMALLEST_LEAF = 50
_ANISOTROPIC = 0.2  # the threshold that ScaNN's authors recommend for inner products
CODES = 16  # centres per block, so that a code is half a byte and sixteen of them fill a SIMD register
_MOST_BLOCKS = 256  # with more ScaNN cannot add scores up in 16 bits


def blocks(dim: int, block: int) -> int:
    """How many codes `dim` coded dimensions have, the last one's block may be narrower."""
    return -(-dim // block)


def scann_config(dim: int, recall_k: int, entry: ScannEntry) -> ScannConfig:
    """Describe the index over vectors of `dim` dimensions to ScaNN; how much is searched is said with every search."""
    config = ScannConfig(
        num_neighbors=recall_k,
        distance_measure={"distance_measure": "DotProductDistance"},
        partitioning=_partitioning(dim, entry),
        hash={"asymmetric_hash": _hash(dim, entry)},
        exact_reordering={"approx_num_neighbors": recall_k},
    )
    if entry.soar is not None:
        spilling = config.partitioning.database_spilling
        spilling.spilling_type = spilling.TWO_CENTER_ORTHOGONALITY_AMPLIFIED
        spilling.orthogonality_amplification_lambda = entry.soar
        spilling.overretrieve_factor = 1.5
    return config


def _partitioning(dim: int, entry: ScannEntry) -> dict[str, Any]:
    axes = {"projection_type": "PCA", "input_dim": dim, "num_dims_per_block": entry.principal}
    return {
        **({} if entry.principal is None else {"projection": axes}),
        "num_children": entry.leaves,
        "min_cluster_size": _SMALLEST_LEAF,
        "max_clustering_iterations": _TREE_ITERATIONS,
        "clustering_seed": entry.seed,
        "single_machine_center_initialization": "DEFAULT_KMEANS_PLUS_PLUS",
        "partitioning_distance": {"distance_measure": "SquaredL2Distance"},
        "query_spilling": {"spilling_type": "FIXED_NUMBER_OF_CENTERS", "max_spill_centers": entry.leaves},
        "expected_sample_size": entry.sample,
        "query_tokenization_distance_override": {"distance_measure": "DotProductDistance"},
        "partitioning_type": "GENERIC",
        "query_tokenization_type": "FLOAT",
    }


def _hash(dim: int, entry: ScannEntry) -> dict[str, Any]:
    return {
        "lookup_type": "INT8_LUT16",
        "use_residual_quantization": True,
        "use_global_topn": blocks(entry.coded(dim), entry.block) <= _MOST_BLOCKS,
        "quantization_distance": {"distance_measure": "SquaredL2Distance"},
        "num_clusters_per_block": CODES,
        "projection": _blocks_of(dim, entry),
        "fixed_point_lut_conversion_options": {"float_to_int_conversion_method": "ROUND"},
        "noise_shaping_threshold": _ANISOTROPIC,
        "expected_sample_size": _CODE_SAMPLE,
        "max_clustering_iterations": _CODE_ITERATIONS,
        "clustering_seed": entry.seed,
        "sampling_seed": entry.seed,
    }


def _blocks_of(dim: int, entry: ScannEntry) -> dict[str, Any]:
    if entry.principal is not None:  # ScaNN wants to find out itself how many axes there are
        return {"projection_type": "CHUNK", "num_dims_per_block": entry.block}
    full, rest = divmod(dim, entry.block)
    variable = [{"num_blocks": full, "num_dims_per_block": entry.block}] if full else []
    if rest:
        variable.append({"num_blocks": 1, "num_dims_per_block": rest})
    return {"input_dim": dim, "projection_type": "VARIABLE_CHUNK", "variable_blocks": variable}
