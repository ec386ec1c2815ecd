from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InteractionType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTERACTION_TYPE_UNSPECIFIED: _ClassVar[InteractionType]
    INTERACTION_TYPE_VIEW: _ClassVar[InteractionType]
    INTERACTION_TYPE_CLICK: _ClassVar[InteractionType]
    INTERACTION_TYPE_FAVORITE: _ClassVar[InteractionType]
    INTERACTION_TYPE_CART: _ClassVar[InteractionType]
    INTERACTION_TYPE_PURCHASE: _ClassVar[InteractionType]

class Fallback(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FALLBACK_NONE: _ClassVar[Fallback]
    FALLBACK_EMPTY_HISTORY: _ClassVar[Fallback]
    FALLBACK_UNKNOWN_HISTORY: _ClassVar[Fallback]
    FALLBACK_COUNTRY: _ClassVar[Fallback]
    FALLBACK_SOURCE_FAILED: _ClassVar[Fallback]
    FALLBACK_SOURCE_MISSING: _ClassVar[Fallback]
    FALLBACK_BACKFILLED: _ClassVar[Fallback]

class Degradation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEGRADATION_NONE: _ClassVar[Degradation]
    DEGRADATION_EMPTY_HISTORY: _ClassVar[Degradation]
    DEGRADATION_UNKNOWN_HISTORY: _ClassVar[Degradation]
    DEGRADATION_NOT_IN_BUNDLE: _ClassVar[Degradation]
    DEGRADATION_ENCODER_FAILED: _ClassVar[Degradation]
    DEGRADATION_EXHAUSTED: _ClassVar[Degradation]
INTERACTION_TYPE_UNSPECIFIED: InteractionType
INTERACTION_TYPE_VIEW: InteractionType
INTERACTION_TYPE_CLICK: InteractionType
INTERACTION_TYPE_FAVORITE: InteractionType
INTERACTION_TYPE_CART: InteractionType
INTERACTION_TYPE_PURCHASE: InteractionType
FALLBACK_NONE: Fallback
FALLBACK_EMPTY_HISTORY: Fallback
FALLBACK_UNKNOWN_HISTORY: Fallback
FALLBACK_COUNTRY: Fallback
FALLBACK_SOURCE_FAILED: Fallback
FALLBACK_SOURCE_MISSING: Fallback
FALLBACK_BACKFILLED: Fallback
DEGRADATION_NONE: Degradation
DEGRADATION_EMPTY_HISTORY: Degradation
DEGRADATION_UNKNOWN_HISTORY: Degradation
DEGRADATION_NOT_IN_BUNDLE: Degradation
DEGRADATION_ENCODER_FAILED: Degradation
DEGRADATION_EXHAUSTED: Degradation

class Interaction(_message.Message):
    __slots__ = ("item_id", "item_key", "type", "timestamp_ms")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: int
    item_key: str
    type: InteractionType
    timestamp_ms: int
    def __init__(self, item_id: _Optional[int] = ..., item_key: _Optional[str] = ..., type: _Optional[_Union[InteractionType, str]] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class FeatureValue(_message.Message):
    __slots__ = ("number", "category")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    number: float
    category: str
    def __init__(self, number: _Optional[float] = ..., category: _Optional[str] = ...) -> None: ...

class RetrieveRequest(_message.Message):
    __slots__ = ("country", "history", "k", "exclude_history", "features", "include_item_details", "timestamp_ms", "profile", "seed_item", "filters", "source_quotas", "explain", "return_embedding", "include_modules")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureValue, _Mapping]] = ...) -> None: ...
    class SourceQuotasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ITEM_DETAILS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    SEED_ITEM_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUOTAS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    RETURN_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_MODULES_FIELD_NUMBER: _ClassVar[int]
    country: str
    history: _containers.RepeatedCompositeFieldContainer[Interaction]
    k: int
    exclude_history: bool
    features: _containers.MessageMap[str, FeatureValue]
    include_item_details: bool
    timestamp_ms: int
    profile: str
    seed_item: ItemRef
    filters: Filters
    source_quotas: _containers.ScalarMap[str, int]
    explain: bool
    return_embedding: bool
    include_modules: bool
    def __init__(self, country: _Optional[str] = ..., history: _Optional[_Iterable[_Union[Interaction, _Mapping]]] = ..., k: _Optional[int] = ..., exclude_history: bool = ..., features: _Optional[_Mapping[str, FeatureValue]] = ..., include_item_details: bool = ..., timestamp_ms: _Optional[int] = ..., profile: _Optional[str] = ..., seed_item: _Optional[_Union[ItemRef, _Mapping]] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ..., source_quotas: _Optional[_Mapping[str, int]] = ..., explain: bool = ..., return_embedding: bool = ..., include_modules: bool = ...) -> None: ...

class ItemRef(_message.Message):
    __slots__ = ("item_id", "item_key")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    item_id: int
    item_key: str
    def __init__(self, item_id: _Optional[int] = ..., item_key: _Optional[str] = ...) -> None: ...

class Filters(_message.Message):
    __slots__ = ("merchants", "categories", "price", "excluded_item_ids", "excluded_item_keys")
    MERCHANTS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_KEYS_FIELD_NUMBER: _ClassVar[int]
    merchants: _containers.RepeatedScalarFieldContainer[str]
    categories: _containers.RepeatedScalarFieldContainer[str]
    price: PriceRange
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[int]
    excluded_item_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, merchants: _Optional[_Iterable[str]] = ..., categories: _Optional[_Iterable[str]] = ..., price: _Optional[_Union[PriceRange, _Mapping]] = ..., excluded_item_ids: _Optional[_Iterable[int]] = ..., excluded_item_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class PriceRange(_message.Message):
    __slots__ = ("lowest", "highest")
    LOWEST_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    lowest: float
    highest: float
    def __init__(self, lowest: _Optional[float] = ..., highest: _Optional[float] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("item_id", "score", "details", "source_mask", "evidence")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_MASK_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    item_id: int
    score: float
    details: ItemDetails
    source_mask: int
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, item_id: _Optional[int] = ..., score: _Optional[float] = ..., details: _Optional[_Union[ItemDetails, _Mapping]] = ..., source_mask: _Optional[int] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("source", "rank", "score", "because", "contribution", "target_type", "paths", "direct")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_TYPE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    DIRECT_FIELD_NUMBER: _ClassVar[int]
    source: str
    rank: int
    score: float
    because: ExplainedItem
    contribution: float
    target_type: InteractionType
    paths: _containers.RepeatedCompositeFieldContainer[Path]
    direct: float
    def __init__(self, source: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ..., because: _Optional[_Union[ExplainedItem, _Mapping]] = ..., contribution: _Optional[float] = ..., target_type: _Optional[_Union[InteractionType, str]] = ..., paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ..., direct: _Optional[float] = ...) -> None: ...

class Path(_message.Message):
    __slots__ = ("trigger", "weight", "similarity", "contribution")
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    trigger: ExplainedItem
    weight: float
    similarity: float
    contribution: float
    def __init__(self, trigger: _Optional[_Union[ExplainedItem, _Mapping]] = ..., weight: _Optional[float] = ..., similarity: _Optional[float] = ..., contribution: _Optional[float] = ...) -> None: ...

class ExplainedItem(_message.Message):
    __slots__ = ("item_id", "type", "title")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    item_id: int
    type: InteractionType
    title: str
    def __init__(self, item_id: _Optional[int] = ..., type: _Optional[_Union[InteractionType, str]] = ..., title: _Optional[str] = ...) -> None: ...

class ItemDetails(_message.Message):
    __slots__ = ("item_key", "title", "merchant", "category")
    ITEM_KEY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    item_key: str
    title: str
    merchant: str
    category: str
    def __init__(self, item_key: _Optional[str] = ..., title: _Optional[str] = ..., merchant: _Optional[str] = ..., category: _Optional[str] = ...) -> None: ...

class SourceReport(_message.Message):
    __slots__ = ("source", "candidates", "encode_us", "search_us", "method", "plan", "found", "fetched", "degradation")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ENCODE_US_FIELD_NUMBER: _ClassVar[int]
    SEARCH_US_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    FETCHED_FIELD_NUMBER: _ClassVar[int]
    DEGRADATION_FIELD_NUMBER: _ClassVar[int]
    source: str
    candidates: int
    encode_us: int
    search_us: int
    method: str
    plan: str
    found: int
    fetched: int
    degradation: Degradation
    def __init__(self, source: _Optional[str] = ..., candidates: _Optional[int] = ..., encode_us: _Optional[int] = ..., search_us: _Optional[int] = ..., method: _Optional[str] = ..., plan: _Optional[str] = ..., found: _Optional[int] = ..., fetched: _Optional[int] = ..., degradation: _Optional[_Union[Degradation, str]] = ...) -> None: ...

class RetrieveResponse(_message.Message):
    __slots__ = ("candidates", "bundle_version", "fallback", "unknown_items", "unused_features", "sources", "country", "profile", "backfilled", "fuse_us", "embeddings", "modules")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    BACKFILLED_FIELD_NUMBER: _ClassVar[int]
    FUSE_US_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    bundle_version: str
    fallback: Fallback
    unknown_items: int
    unused_features: int
    sources: _containers.RepeatedCompositeFieldContainer[SourceReport]
    country: str
    profile: str
    backfilled: int
    fuse_us: int
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    modules: _containers.RepeatedCompositeFieldContainer[Module]
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., bundle_version: _Optional[str] = ..., fallback: _Optional[_Union[Fallback, str]] = ..., unknown_items: _Optional[int] = ..., unused_features: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[SourceReport, _Mapping]]] = ..., country: _Optional[str] = ..., profile: _Optional[str] = ..., backfilled: _Optional[int] = ..., fuse_us: _Optional[int] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., modules: _Optional[_Iterable[_Union[Module, _Mapping]]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("source", "values")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    source: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, source: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Module(_message.Message):
    __slots__ = ("because", "target_type", "candidates")
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    TARGET_TYPE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    because: ExplainedItem
    target_type: InteractionType
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, because: _Optional[_Union[ExplainedItem, _Mapping]] = ..., target_type: _Optional[_Union[InteractionType, str]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class RetrieveBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RetrieveRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RetrieveRequest, _Mapping]]] = ...) -> None: ...

class RetrieveBatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[RetrieveResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[RetrieveResponse, _Mapping]]] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("country", "item", "k", "source", "source_type", "target_type", "filters", "include_item_details")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    TARGET_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ITEM_DETAILS_FIELD_NUMBER: _ClassVar[int]
    country: str
    item: ItemRef
    k: int
    source: str
    source_type: InteractionType
    target_type: InteractionType
    filters: Filters
    include_item_details: bool
    def __init__(self, country: _Optional[str] = ..., item: _Optional[_Union[ItemRef, _Mapping]] = ..., k: _Optional[int] = ..., source: _Optional[str] = ..., source_type: _Optional[_Union[InteractionType, str]] = ..., target_type: _Optional[_Union[InteractionType, str]] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ..., include_item_details: bool = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("candidates", "bundle_version", "source", "country")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    bundle_version: str
    source: SourceReport
    country: str
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., bundle_version: _Optional[str] = ..., source: _Optional[_Union[SourceReport, _Mapping]] = ..., country: _Optional[str] = ...) -> None: ...

class GetServingInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServingInfoResponse(_message.Message):
    __slots__ = ("bundle_name", "bundle_version", "format_version", "created_ms", "loaded_ms", "load_ms", "countries", "max_k", "max_history", "max_excluded", "max_batch", "profiles", "features")
    BUNDLE_NAME_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    LOADED_MS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    COUNTRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_K_FIELD_NUMBER: _ClassVar[int]
    MAX_HISTORY_FIELD_NUMBER: _ClassVar[int]
    MAX_EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    bundle_name: str
    bundle_version: str
    format_version: str
    created_ms: int
    loaded_ms: int
    load_ms: int
    countries: _containers.RepeatedCompositeFieldContainer[CountryInfo]
    max_k: int
    max_history: int
    max_excluded: int
    max_batch: int
    profiles: _containers.RepeatedCompositeFieldContainer[ProfileInfo]
    features: _containers.RepeatedCompositeFieldContainer[FeatureInfo]
    def __init__(self, bundle_name: _Optional[str] = ..., bundle_version: _Optional[str] = ..., format_version: _Optional[str] = ..., created_ms: _Optional[int] = ..., loaded_ms: _Optional[int] = ..., load_ms: _Optional[int] = ..., countries: _Optional[_Iterable[_Union[CountryInfo, _Mapping]]] = ..., max_k: _Optional[int] = ..., max_history: _Optional[int] = ..., max_excluded: _Optional[int] = ..., max_batch: _Optional[int] = ..., profiles: _Optional[_Iterable[_Union[ProfileInfo, _Mapping]]] = ..., features: _Optional[_Iterable[_Union[FeatureInfo, _Mapping]]] = ...) -> None: ...

class ProfileInfo(_message.Message):
    __slots__ = ("name", "sources", "fusion")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    fusion: str
    def __init__(self, name: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ..., fusion: _Optional[str] = ...) -> None: ...

class FeatureInfo(_message.Message):
    __slots__ = ("name", "kind")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class CountryInfo(_message.Message):
    __slots__ = ("country", "items", "sources", "merchants", "categories", "has_prices")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    MERCHANTS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    HAS_PRICES_FIELD_NUMBER: _ClassVar[int]
    country: str
    items: int
    sources: _containers.RepeatedCompositeFieldContainer[SourceInfo]
    merchants: int
    categories: int
    has_prices: bool
    def __init__(self, country: _Optional[str] = ..., items: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[SourceInfo, _Mapping]]] = ..., merchants: _Optional[int] = ..., categories: _Optional[int] = ..., has_prices: bool = ...) -> None: ...

class SourceInfo(_message.Message):
    __slots__ = ("source", "engine", "space", "dim", "ef", "recall", "recall_k", "recall_target", "type", "neighbours", "triggers")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    RECALL_K_FIELD_NUMBER: _ClassVar[int]
    RECALL_TARGET_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    source: str
    engine: str
    space: str
    dim: int
    ef: int
    recall: float
    recall_k: int
    recall_target: float
    type: InteractionType
    neighbours: int
    triggers: int
    def __init__(self, source: _Optional[str] = ..., engine: _Optional[str] = ..., space: _Optional[str] = ..., dim: _Optional[int] = ..., ef: _Optional[int] = ..., recall: _Optional[float] = ..., recall_k: _Optional[int] = ..., recall_target: _Optional[float] = ..., type: _Optional[_Union[InteractionType, str]] = ..., neighbours: _Optional[int] = ..., triggers: _Optional[int] = ...) -> None: ...
