"""Bytes that are no good RetrieveRequest, and the field that an answer must name."""

import math
import struct
from collections.abc import Callable, Sequence

from running_server import request

from protos.retrieval.v1 import retrieval_pb2 as pb

GOOD = request().SerializeToString()
HEAD = b"\x0a\x02FR\x18\x05"


def varint(value: int) -> bytes:
    """Write an unsigned number."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def chunk(number: int, content: bytes) -> bytes:
    """Write a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def history(*interactions: bytes) -> bytes:
    """Write a request with these interactions."""
    return HEAD + b"".join(chunk(2, interaction) for interaction in interactions)


def _feature(name: bytes, value: bytes) -> bytes:
    return HEAD + chunk(5, chunk(1, name) + chunk(2, value))


def _with(change: Callable[[pb.RetrieveRequest], object]) -> bytes:
    changed = request()
    change(changed)
    return changed.SerializeToString()


def _features(**values: pb.FeatureValue) -> bytes:
    return request(features=values).SerializeToString()


def _entry(name: bytes, quota: bytes) -> bytes:
    return HEAD + chunk(11, chunk(1, name) + b"\x10" + quota)


def _filtered(**filters: object) -> bytes:
    return request(filters=pb.Filters(**filters)).SerializeToString()


ITEM = b"\x09" + struct.pack("<Q", 7)
KEY = chunk(2, b"fr-0001")

# name, bytes, path of the field that must be named
CASES: Sequence[tuple[str, bytes, str]] = (
    # values out of range
    ("empty request", b"", "country"),
    ("no country", _with(lambda r: r.ClearField("country")), "country"),
    ("long country", request("F" * 33).SerializeToString(), "country"),
    ("huge country", request("F" * 100_000).SerializeToString(), "country"),
    ("country with a slash", request("../FR").SerializeToString(), "country"),
    ("country with a line feed", request("FR\n").SerializeToString(), "country"),
    ("country not ASCII", request("ÉÉ").SerializeToString(), "country"),
    ("k missing", _with(lambda r: r.ClearField("k")), "k"),
    ("k zero on the wire", b"\x0a\x02FR\x18\x00", "k"),
    ("k above the limit", request(k=1001).SerializeToString(), "k"),
    ("k at the top of 32 bits", request(k=2**32 - 1).SerializeToString(), "k"),
    ("k beyond 32 bits", b"\x0a\x02FR\x18" + varint(2**32 + 5), "k"),
    ("k negative", b"\x0a\x02FR\x18" + varint(2**64 - 1), "k"),
    ("history too long", request(item_ids=(7,) * 501).SerializeToString(), "history"),
    ("empty interaction", history(b""), "history[0].item"),
    ("second interaction without item", history(ITEM, b"\x18\x01"), "history[1].item"),
    ("empty key", history(chunk(2, b"")), "history[0].item_key"),
    ("long key", history(ITEM, ITEM, chunk(2, b"x" * 257)), "history[2].item_key"),
    ("long key in UTF-8", history(chunk(2, "é".encode() * 129)), "history[0].item_key"),
    ("unknown type", history(ITEM + b"\x18\x06"), "history[0].type"),
    ("negative type", history(ITEM + b"\x18" + varint(2**64 - 1)), "history[0].type"),
    ("huge type", history(ITEM + b"\x18" + varint(2**31 - 1)), "history[0].type"),
    ("type beyond 32 bits", history(ITEM + b"\x18" + varint(2**32 + 1)), "history[0].type"),
    ("type beyond 63 bits", history(ITEM, ITEM + b"\x18" + varint(2**63 + 1)), "history[1].type"),
    ("negative type of 32 bits", history(ITEM + b"\x18" + varint(2**32 - 1)), "history[0].type"),
    ("negative time", history(ITEM + b"\x20" + varint(2**64 - 1)), "history[0].timestamp_ms"),
    ("smallest time", history(ITEM + b"\x20" + varint(2**63)), "history[0].timestamp_ms"),
    ("NaN feature", _features(age=pb.FeatureValue(number=math.nan)), 'features["age"].number'),
    ("infinite feature", _features(age=pb.FeatureValue(number=math.inf)), 'features["age"].number'),
    ("minus infinite feature", _features(age=pb.FeatureValue(number=-math.inf)), 'features["age"].number'),
    ("feature without value", _features(age=pb.FeatureValue()), 'features["age"]'),
    ("feature entry without value", HEAD + chunk(5, chunk(1, b"age")), 'features["age"]'),
    ("feature without name", _feature(b"", b"\x09" + b"\0" * 8), 'features[""]'),
    ("long category", _features(a=pb.FeatureValue(category="c" * 257)), 'features["a"].category'),
    ("too many features", _features(**{f"f{i}": pb.FeatureValue(number=1) for i in range(65)}), "features"),
    ("long feature name", _feature(b"n" * 65, b"\x09" + b"\0" * 8), 'features["' + "n" * 40 + '…"]'),
    ("negative time of the request", HEAD + b"\x38" + varint(2**64 - 1), "timestamp_ms"),
    ("seed without item", HEAD + chunk(9, b""), "seed_item"),
    ("seed with an empty key", HEAD + chunk(9, chunk(2, b"")), "seed_item.item_key"),
    ("seed with a long key", HEAD + chunk(9, chunk(2, b"k" * 257)), "seed_item.item_key"),
    ("too many merchants", _filtered(merchants=["m"] * 1001), "filters.merchants"),
    ("long merchant", _filtered(merchants=["m", "m", "m", "m" * 257]), "filters.merchants[3]"),
    ("long merchant in UTF-8", _filtered(merchants=["é" * 129]), "filters.merchants[0]"),
    ("too many categories", _filtered(categories=["c"] * 1001), "filters.categories"),
    ("long category of a filter", _filtered(categories=["c" * 257]), "filters.categories[0]"),
    ("NaN as lowest price", _filtered(price=pb.PriceRange(lowest=math.nan)), "filters.price.lowest"),
    ("NaN as highest price", _filtered(price=pb.PriceRange(highest=math.nan)), "filters.price.highest"),
    ("prices upside down", _filtered(price=pb.PriceRange(lowest=5, highest=3)), "filters.price"),
    ("prices that the bundle lacks", _filtered(price=pb.PriceRange(lowest=5)), "filters.price"),
    ("too many excluded ids", _filtered(excluded_item_ids=range(20_001)), "filters.excluded_item_ids"),
    ("too many excluded keys", _filtered(excluded_item_keys=["k"] * 20_001), "filters.excluded_item_keys"),
    (
        "too many excluded together",
        _filtered(excluded_item_ids=range(19_990), excluded_item_keys=["k"] * 11),
        "filters.excluded_item_ids",
    ),
    ("empty excluded key", _filtered(excluded_item_keys=["a", ""]), "filters.excluded_item_keys[1]"),
    ("long excluded key", _filtered(excluded_item_keys=["é" * 129]), "filters.excluded_item_keys[0]"),
    ("unknown source", _entry(b"x", b"\x05"), 'source_quotas["x"]'),
    ("source without name", _entry(b"", b"\x05"), 'source_quotas[""]'),
    ("quota above the limit", _entry(b"led", varint(1001)), 'source_quotas["led"]'),
    ("quota beyond 32 bits", _entry(b"led", varint(2**32 + 5)), "source_quotas[0].value"),
    ("unknown profile", request(profile="feed").SerializeToString(), "profile"),
    # known fields with the wrong wire type, which protobuf itself would drop
    ("country as varint", b"\x08\x01\x18\x05", "country"),
    ("country as fixed64", b"\x09" + b"\0" * 8 + b"\x18\x05", "country"),
    ("history as varint", HEAD + b"\x10\x01", "history[0]"),
    ("k as string", b"\x0a\x02FR\x1a\x015", "k"),
    ("k as fixed32", b"\x0a\x02FR\x1d" + b"\x05\0\0\0", "k"),
    ("exclude_history as string", HEAD + chunk(4, b"yes"), "exclude_history"),
    ("features as fixed64", HEAD + b"\x29" + b"\0" * 8, "features[0]"),
    ("details flag as fixed32", HEAD + b"\x35" + b"\1\0\0\0", "include_item_details"),
    ("item_id as varint", history(ITEM, b"\x08\x07"), "history[1].item_id"),
    ("item_id as string", history(chunk(1, b"7")), "history[0].item_id"),
    ("item_key as fixed64", history(b"\x11" + b"\0" * 8), "history[0].item_key"),
    ("type as fixed32", history(ITEM + b"\x1d" + b"\0" * 4), "history[0].type"),
    ("time as fixed64", history(ITEM + b"\x21" + b"\0" * 8), "history[0].timestamp_ms"),
    ("time as string", history(ITEM + chunk(4, b"now")), "history[0].timestamp_ms"),
    ("feature name as varint", HEAD + chunk(5, b"\x08\x01" + chunk(2, b"\x09" + b"\0" * 8)), "features[0].key"),
    ("feature value as varint", HEAD + chunk(5, chunk(1, b"a") + b"\x10\x01"), "features[0].value"),
    ("number as float", _feature(b"a", b"\x0d" + b"\0" * 4), "features[0].value.number"),
    ("category as varint", _feature(b"a", b"\x10\x01"), "features[0].value.category"),
    ("history as group", HEAD + b"\x13\x14", "history[0]"),
    ("time of the request as fixed64", HEAD + b"\x39" + b"\0" * 8, "timestamp_ms"),
    ("profile as varint", HEAD + b"\x40\x01", "profile"),
    ("seed as varint", HEAD + b"\x48\x01", "seed_item"),
    ("seed id as varint", HEAD + chunk(9, b"\x08\x07"), "seed_item.item_id"),
    ("filters as fixed32", HEAD + b"\x55" + b"\0" * 4, "filters"),
    ("merchant as varint", HEAD + chunk(10, b"\x08\x01"), "filters.merchants[0]"),
    ("price as varint", HEAD + chunk(10, b"\x18\x01"), "filters.price"),
    ("lowest price as float", HEAD + chunk(10, chunk(3, b"\x0d" + b"\0" * 4)), "filters.price.lowest"),
    ("excluded id as varint", HEAD + chunk(10, b"\x20\x07"), "filters.excluded_item_ids[0]"),
    ("excluded key as fixed64", HEAD + chunk(10, b"\x29" + b"\0" * 8), "filters.excluded_item_keys[0]"),
    ("quotas as varint", HEAD + b"\x58\x01", "source_quotas[0]"),
    ("quota as string", HEAD + chunk(11, chunk(1, b"led") + chunk(2, b"5")), "source_quotas[0].value"),
    ("explain as string", HEAD + chunk(12, b"yes"), "explain"),
    ("embedding flag as fixed32", HEAD + b"\x6d" + b"\1\0\0\0", "return_embedding"),
    ("modules flag as string", HEAD + chunk(14, b"1"), "include_modules"),
    # two members of a oneof
    ("seed id and key", HEAD + chunk(9, ITEM + KEY), "seed_item.item_key"),
    ("id and key", history(ITEM + KEY), "history[0].item_key"),
    ("key and id", history(ITEM, KEY + ITEM), "history[1].item_id"),
    ("number and category", _feature(b"a", b"\x09" + b"\0" * 8 + chunk(2, b"x")), "features[0].value.category"),
    # bytes that are no message
    ("text instead of protobuf", b"country=FR&k=5", "explain"),
    ("field number zero", HEAD + b"\x00\x01", "RetrieveRequest"),
    ("wire type 6", HEAD + b"\x0e", "RetrieveRequest"),
    ("wire type 7", HEAD + b"\x0f", "RetrieveRequest"),
    ("lone end of a group", HEAD + b"\x9c\x06", "RetrieveRequest"),
    ("group without end", HEAD + b"\x9b\x06\x08\x01", "RetrieveRequest"),
    ("endless varint", HEAD + b"\x18" + b"\xff" * 11, "k"),
    ("truncated k", b"\x0a\x02FR\x18", "k"),
    ("truncated varint in k", b"\x0a\x02FR\x18\xff", "k"),
    ("truncated country", b"\x0a\x05FR", "country"),
    ("country length missing", b"\x0a", "country"),
    ("huge country length", b"\x0a" + varint(2**31) + b"FR", "country"),
    ("length beyond 64 bits", b"\x0a" + b"\xff" * 9 + b"\x01" + b"FR", "country"),
    ("huge history length", HEAD + b"\x12" + varint(2**40), "history[0]"),
    ("huge key length", history(ITEM, b"\x12" + varint(2**30) + b"x"), "history[1].item_key"),
    ("truncated item_id", history(b"\x09\x01\x02"), "history[0].item_id"),
    ("truncated feature number", _feature(b"a", b"\x09\x01"), "features[0].value.number"),
    ("country not UTF-8", b"\x0a\x02\xff\xfe\x18\x05", "country"),
    ("key not UTF-8", history(ITEM, chunk(2, b"\xc3\x28")), "history[1].item_key"),
    ("key with a surrogate", history(chunk(2, b"\xed\xa0\x80")), "history[0].item_key"),
    ("key cut inside a character", history(chunk(2, "é".encode()[:1])), "history[0].item_key"),
    ("feature name not UTF-8", _feature(b"\xff", b"\x09" + b"\0" * 8), "features[0].key"),
    ("category not UTF-8", _feature(b"a", chunk(2, b"\x80")), "features[0].value.category"),
    ("packed ids that are cut", HEAD + chunk(10, chunk(4, b"\1" * 12)), "filters.excluded_item_ids[0]"),
    ("merchant not UTF-8", HEAD + chunk(10, chunk(1, b"\xff")), "filters.merchants[0]"),
    ("profile not UTF-8", HEAD + chunk(8, b"\xff"), "profile"),
    ("a flood of fields", HEAD + b"\x98\x06\x01" * 30_000, "RetrieveRequest"),
)
