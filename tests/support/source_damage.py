"""Every damage of format 1.1's sources that must be refused, with the error that refuses it."""

import numpy as np

from damage_tools import (
    array,
    first_is,
    flip,
    golden,
    manifest_edit,
    negated,
    put,
    resealed,
    set_at,
    spec,
    swap,
    truncate,
)
from index_store import errors
from source_damage_tools import (
    CART,
    CART_INDEX,
    CART_ROWS,
    DIRECT,
    FILES,
    FR,
    NEIGHBOURS,
    PRICES,
    SCORES,
    SOURCES,
    TAKEN,
    TOWER,
    TOWER_INDEX,
    TRIGGERS,
    Damages,
    cell,
    country,
    feature,
    first_to,
    older,
    request,
    shifted,
    without,
)

MANIFEST_DAMAGES: Damages = {
    "a source in a manifest of 1.0": (older(lambda m: m.update(pdn_triggers=3)), errors.ManifestMalformed),
    "null of a source in a manifest of 1.0": (older(lambda m: m.update(pdn_triggers=None)), errors.ManifestMalformed),
    "prices in a manifest of 1.0": (
        older(lambda m: m["countries"]["FR"].update(prices=False)),
        errors.ManifestMalformed,
    ),
    "two-tower in a manifest of 1.0": (
        older(lambda m: m["countries"]["FR"].update(two_tower=None)),
        errors.ManifestMalformed,
    ),
    "encoders of sources in a bundle of 1.0": (older(lambda _: None), errors.LayoutMismatch),
    "unknown type of pairs": (country("item_interaction", "LIKE", value={}), errors.ManifestMalformed),
    "pairs without a count": (
        manifest_edit(lambda m: m["countries"]["FR"]["item_interaction"]["CART"].pop("count")),
        errors.ManifestMalformed,
    ),
    "no neighbours": (country("pdn", "neighbours", value=0), errors.ManifestMalformed),
    "no trigger": (set_at("pdn_triggers", value=0), errors.ManifestMalformed),
    "no source type": (set_at("item_interaction", "sources", value=[]), errors.ManifestMalformed),
    "a target type twice": (set_at("item_interaction", "targets", value=["CART", "CART"]), errors.ManifestMalformed),
    "pairs of type UNSPECIFIED": (
        set_at("item_interaction", "targets", value=["UNSPECIFIED"]),
        errors.ManifestMalformed,
    ),
    "last_n is zero": (set_at("item_interaction", "last_n", value=0), errors.ManifestMalformed),
    "prices is a list": (country("prices", value=[]), errors.ManifestMalformed),
    "two-tower hnsw without ef": (country("two_tower", "ef", value=None), errors.ManifestMalformed),
    "two-tower not in one country": (country("two_tower", value=None), errors.SourcesMismatch),
    "pdn not in one country": (country("pdn", value=None), errors.SourcesMismatch),
    "pdn without settings": (set_at("pdn_triggers", value=None), errors.SourcesMismatch),
    "pdn's settings without pdn": (
        manifest_edit(lambda m: [each.update(pdn=None) for each in m["countries"].values()]),
        errors.SourcesMismatch,
    ),
    "pairs without settings": (set_at("item_interaction", value=None), errors.SourcesMismatch),
    "settings without pairs": (
        manifest_edit(lambda m: [each.update(item_interaction={}) for each in m["countries"].values()]),
        errors.SourcesMismatch,
    ),
    "pairs of two dimensions": (country("item_interaction", "CART", "dim", value=3), errors.SourcesMismatch),
}

FILE_DAMAGES: Damages = {
    **{f"truncated: {name}": (truncate(name), errors.SizeMismatch) for name in FILES},
    **{f"bit flipped: {name}": (flip(name), errors.ChecksumMismatch) for name in FILES},
    **{f"missing, resealed: {name}": (without(name), errors.LayoutMismatch) for name in FILES},
    "an encoder too few": (manifest_edit(lambda m: m["encoders"].pop("trignet")), errors.LayoutMismatch),
    "an encoder of no source": (
        manifest_edit(lambda m: m["encoders"].update(bert=m["encoders"]["led"])),
        errors.LayoutMismatch,
    ),
    "encoders exchanged": (
        manifest_edit(lambda m: m["encoders"].update(trignet=m["encoders"]["pdn_user"])),
        errors.LayoutMismatch,
    ),
    "prices that nobody speaks of": (country("prices", value=False), errors.LayoutMismatch),
    "an index of exactly searched pairs": (
        resealed(put(f"{FR}/item_interaction/VIEW/index.bin", b"graph")),
        errors.LayoutMismatch,
    ),
    "pairs that nobody speaks of": (
        manifest_edit(lambda m: m["countries"]["FR"]["item_interaction"].pop("CART")),
        errors.LayoutMismatch,
    ),
}

ARRAY_DAMAGES: Damages = {
    "prices of float64": (array(PRICES, lambda a: a.astype(np.float64)), errors.ArrayMalformed),
    "one price less": (array(PRICES, lambda a: a[:-1]), errors.ArrayMalformed),
    "a price below zero": (array(PRICES, first_is(-0.5)), errors.CatalogInvalid),
    "an infinite price": (array(PRICES, first_is(np.inf)), errors.CatalogInvalid),
    "two-tower vectors of float64": (array(TOWER, lambda a: a.astype(np.float64)), errors.ArrayMalformed),
    "input vectors of one item less": (array(TAKEN, lambda a: a[:-1]), errors.ArrayMalformed),
    "neighbours of int64": (array(NEIGHBOURS, lambda a: a.astype(np.int64)), errors.ArrayMalformed),
    "one neighbour less": (array(NEIGHBOURS, lambda a: a[:, :-1]), errors.ArrayMalformed),
    "path scores of float32": (array(SCORES, lambda a: a.astype(np.float32)), errors.ArrayMalformed),
    "path scores in Fortran order": (array(SCORES, np.asfortranarray), errors.ArrayMalformed),
    "direct vectors of one dimension more": (array(DIRECT, lambda a: np.c_[a, a[:, :1]]), errors.ArrayMalformed),
    "trigger vectors of one dimension less": (array(TRIGGERS, lambda a: a[:, :-1]), errors.ArrayMalformed),
    "pair rows of int64": (array(CART_ROWS, lambda a: a.astype(np.int64)), errors.ArrayMalformed),
    "one pair less": (array(CART_ROWS, lambda a: a[:-1]), errors.ArrayMalformed),
    "another number of pairs": (country("item_interaction", "CART", "count", value=149), errors.ArrayMalformed),
    "tables of FR and US exchanged": (
        resealed(swap(NEIGHBOURS, "countries/US/pdn/neighbours.npy")),
        errors.ArrayMalformed,
    ),
    "NaN in a two-tower vector": (array(TOWER, first_is(np.nan)), errors.VectorsInvalid),
    "infinity in an input vector": (array(TAKEN, first_is(np.inf)), errors.VectorsInvalid),
    "NaN in a direct vector": (array(DIRECT, cell(299, 4, np.nan)), errors.VectorsInvalid),
    "infinity in a trigger vector": (array(TRIGGERS, first_is(-np.inf)), errors.VectorsInvalid),
    "NaN in a pair's vector": (array(CART, first_is(np.nan)), errors.VectorsInvalid),
    "neighbour beyond the catalogue": (array(NEIGHBOURS, cell(1, 0, 300)), errors.PathsInvalid),
    "neighbour of -2": (array(NEIGHBOURS, cell(1, 0, -2)), errors.PathsInvalid),
    "an item is its own neighbour": (array(NEIGHBOURS, cell(299, 3, 299)), errors.PathsInvalid),
    "a neighbour twice": (array(NEIGHBOURS, lambda a: cell(1, 0, a[1, 5])(a)), errors.PathsInvalid),
    "a gap among neighbours": (array(NEIGHBOURS, cell(1, 0, -1)), errors.PathsInvalid),
    "a missing neighbour with a score": (array(SCORES, lambda a: a.clip(-9, None)), errors.PathsInvalid),
    "a neighbour without a score": (array(SCORES, cell(1, 11, -np.inf)), errors.PathsInvalid),
    "NaN as a path score": (array(SCORES, cell(1, 3, np.nan)), errors.PathsInvalid),
    "infinity as a path score": (array(SCORES, cell(1, 0, np.inf)), errors.PathsInvalid),
    "path scores that rise": (array(SCORES, cell(1, 11, 9.0)), errors.PathsInvalid),
    "pair rows that fall": (array(CART_ROWS, lambda a: a[::-1].copy()), errors.PairsInvalid),
    "a pair row twice": (array(CART_ROWS, lambda a: np.sort(np.r_[a[:1], a[:-1]])), errors.PairsInvalid),
    "a pair row below zero": (array(CART_ROWS, first_is(-1)), errors.PairsInvalid),
    "a pair row beyond the catalogue": (array(CART_ROWS, lambda a: np.r_[a[:-1], np.int32(300)]), errors.PairsInvalid),
    "a pair's vector of length 2": (array(CART, lambda a: a * np.float32(2)), errors.PairsInvalid),
    "a pair's vector of zeros": (
        array(CART, lambda a: a * (np.arange(len(a)) != 7)[:, None].astype(np.float32)),
        errors.PairsInvalid,
    ),
    "two-tower vectors of another model": (array(TOWER, negated), errors.IndexMismatch),
    "pair vectors of another model": (array(CART, negated), errors.IndexMismatch),
    "two-tower index is LED's": (resealed(swap(TOWER_INDEX, f"{FR}/led/index.bin")), errors.IndexMismatch),
    "pair index truncated": (resealed(truncate(CART_INDEX)), errors.IndexMismatch),
    "two-tower recall under target": (country("two_tower", "recall_target", value=0.99999), errors.RecallUnderTarget),
    "pair recall not on the curve": (
        manifest_edit(lambda m: m["countries"]["FR"]["item_interaction"]["CART"].update(recall=0.951)),
        errors.RecallUnderTarget,
    ),
    "recall of exactly searched pairs": (
        country("item_interaction", "VIEW", "recall", value=0.97),
        errors.RecallUnderTarget,
    ),
}

_TENSOR = {"name": "user_vector", "dtype": "float32", "shape": ["B", 4]}
SPEC_DAMAGES: Damages = {
    "two-tower spec is LED's": (
        resealed(swap("encoders/two_tower_query.json", "encoders/led.json")),
        errors.EncoderMismatch,
    ),
    "pdn's encoders exchanged": (
        resealed(
            swap("encoders/trignet.json", "encoders/pdn_user.json"),
            swap("encoders/trignet.onnx", "encoders/pdn_user.onnx"),
        ),
        errors.EncoderMismatch,
    ),
    "query tower of another dimension": (spec("two_tower_query", output=_TENSOR), errors.EncoderMismatch),
    "direct tower of another dimension": (spec("pdn_user", output=_TENSOR), errors.EncoderMismatch),
    "trignet of another system": (spec("trignet", system="led"), errors.EncoderMismatch),
    "two-tower items of another dimension": (country("two_tower", "dim", value=6), errors.EncoderMismatch),
    "input vectors of another dimension": (country("two_tower", "input_dim", value=5), errors.EncoderMismatch),
    "direct vectors of another dimension": (country("pdn", "dim", value=4), errors.EncoderMismatch),
    "trigger vectors of another dimension": (country("pdn", "trigger_dim", value=4), errors.EncoderMismatch),
    "a feature less than the graph takes": (spec("trignet", features=[]), errors.EncoderMismatch),
    "a feature that names no input": (feature("trignet", "hour", name="minute"), errors.EncoderMismatch),
    "a feature of an unknown origin": (feature("trignet", "hour", origin="moon"), errors.EncoderMismatch),
    "a feature with falling bounds": (feature("pdn_user", "length", bounds=[5, 2]), errors.EncoderMismatch),
}

GOLDEN_DAMAGES: Damages = {
    "source golden is not JSON": (resealed(put(SOURCES, b"[")), errors.GoldenInvalid),
    "no source golden": (resealed(put(SOURCES, b"[]")), errors.GoldenInvalid),
    **{
        f"no golden request to {source} in DE": (
            golden(
                lambda requests, source=source: requests.__setitem__(
                    slice(None), [r for r in requests if (r["source"], r["country"]) != (source, "DE")]
                ),
                SOURCES,
            ),
            errors.GoldenInvalid,
        )
        for source in ("two_tower", "pdn", "item_interaction")
    },
    "golden of an unknown source": (request("pdn", source="popular"), errors.GoldenInvalid),
    "golden to LED among the sources": (request("pdn", source="led"), errors.GoldenInvalid),
    "source golden of an unknown country": (request("pdn", country="XX"), errors.GoldenInvalid),
    "source golden without history": (request("pdn", history=[]), errors.GoldenInvalid),
    "source golden of an unknown item": (request("pdn", history=[[1, 1, 0]]), errors.GoldenInvalid),
    "source golden of an unknown type": (request("pdn", history=[[7, 6, 0]]), errors.GoldenInvalid),
    "source golden before 1970": (request("pdn", time_ms=-1), errors.GoldenInvalid),
    "source golden with an unknown seed": (request("two_tower", seed=1), errors.GoldenInvalid),
    "a seed where none is taken": (request("pdn", seed=7), errors.GoldenInvalid),
    "nothing of the encoders": (request("pdn", encoded={}), errors.GoldenInvalid),
    "something of an encoder that is none": (request("item_interaction", encoded={"led": [1]}), errors.GoldenInvalid),
    "an encoder gives infinity": (request("two_tower", encoded={"two_tower_query": [1e39] * 7}), errors.GoldenInvalid),
    "two-tower answers too few": (request("two_tower", item_ids=[7], scores=[0.5]), errors.GoldenInvalid),
    "pdn answers too many": (request("pdn", k=1), errors.GoldenInvalid),
    "source golden answers one item twice": (
        request("pdn", item_ids=[7, 7], scores=[1, 1]),
        errors.GoldenInvalid,
    ),
    "source golden scores that rise": (
        golden(lambda requests: first_to("pdn")(requests)["scores"].reverse(), SOURCES),
        errors.GoldenInvalid,
    ),
    "a feature of a list": (request("pdn", features={"tier": []}), errors.GoldenInvalid),
    "an infinite feature": (request("pdn", features={"spent": 1e300}), errors.GoldenInvalid),
}

SOURCE_DAMAGES: Damages = {
    **MANIFEST_DAMAGES,
    **FILE_DAMAGES,
    **ARRAY_DAMAGES,
    **SPEC_DAMAGES,
    **GOLDEN_DAMAGES,
}

# refused once the encoders are opened: by `verify_bundle` and by every worker before it serves
SOURCE_ENCODER_DAMAGES: Damages = {
    "query tower is not ONNX": (resealed(put("encoders/two_tower_query.onnx", b"graph")), errors.EncoderMismatch),
    "query tower is trignet's graph": (
        resealed(swap("encoders/two_tower_query.onnx", "encoders/trignet.onnx")),
        errors.EncoderMismatch,
    ),
    "more categories than the graph embeds": (
        feature("two_tower_query", "tier", values=["gold", "silver", "bronze"]),
        errors.EncoderMismatch,
    ),
    "more buckets than the graph embeds": (
        feature("pdn_user", "length", bounds=[1, 2, 3, 4]),
        errors.EncoderMismatch,
    ),
    **{
        f"golden {encoder} changed": (shifted(source, encoder), errors.GoldenMismatch)
        for source, encoder in (("two_tower", "two_tower_query"), ("pdn", "trignet"), ("pdn", "pdn_user"))
    },
    "golden trignet shortened": (
        golden(lambda requests: first_to("pdn")(requests)["encoded"]["trignet"].pop(), SOURCES),
        errors.GoldenMismatch,
    ),
    **{
        f"golden scores of {source} changed": (shifted(source, "scores"), errors.GoldenMismatch)
        for source in ("two_tower", "pdn", "item_interaction")
    },
    **{
        f"golden answer of {source} misses the best": (
            golden(
                lambda requests, source=source: [
                    first_to(source)(requests)[field].pop(0) for field in ("item_ids", "scores")
                ],
                SOURCES,
            ),
            errors.GoldenMismatch,
        )
        for source in ("pdn", "item_interaction")
    },
    "golden category as a number": (request("two_tower", features={"tier": 3.0}), errors.GoldenMismatch),
    "a feature made of another": (feature("two_tower_query", "tier", key="level"), errors.GoldenMismatch),
    "another table of paths": (
        array(SCORES, lambda a: (a - np.float16(1)).astype(np.float16)),
        errors.GoldenMismatch,
    ),
    "other trigger vectors": (array(TRIGGERS, negated), errors.GoldenMismatch),
    "other direct vectors": (array(DIRECT, negated), errors.GoldenMismatch),
    "other input vectors": (array(TAKEN, negated), errors.GoldenMismatch),
    "other source pairs": (array(f"{FR}/item_interaction/VIEW/vectors.npy", negated), errors.GoldenMismatch),
    "fewer triggers than training followed": (set_at("pdn_triggers", value=1), errors.GoldenMismatch),
}
