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
INTERACTION_TYPE_UNSPECIFIED: InteractionType
INTERACTION_TYPE_VIEW: InteractionType
INTERACTION_TYPE_CLICK: InteractionType
INTERACTION_TYPE_FAVORITE: InteractionType
INTERACTION_TYPE_CART: InteractionType
INTERACTION_TYPE_PURCHASE: InteractionType
FALLBACK_NONE: Fallback
FALLBACK_EMPTY_HISTORY: Fallback
FALLBACK_UNKNOWN_HISTORY: Fallback

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
    __slots__ = ("country", "history", "k", "exclude_history", "features", "include_item_details")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureValue, _Mapping]] = ...) -> None: ...
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ITEM_DETAILS_FIELD_NUMBER: _ClassVar[int]
    country: str
    history: _containers.RepeatedCompositeFieldContainer[Interaction]
    k: int
    exclude_history: bool
    features: _containers.MessageMap[str, FeatureValue]
    include_item_details: bool
    def __init__(self, country: _Optional[str] = ..., history: _Optional[_Iterable[_Union[Interaction, _Mapping]]] = ..., k: _Optional[int] = ..., exclude_history: bool = ..., features: _Optional[_Mapping[str, FeatureValue]] = ..., include_item_details: bool = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("item_id", "score", "details")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    item_id: int
    score: float
    details: ItemDetails
    def __init__(self, item_id: _Optional[int] = ..., score: _Optional[float] = ..., details: _Optional[_Union[ItemDetails, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("source", "candidates", "encode_us", "search_us", "method")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ENCODE_US_FIELD_NUMBER: _ClassVar[int]
    SEARCH_US_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    source: str
    candidates: int
    encode_us: int
    search_us: int
    method: str
    def __init__(self, source: _Optional[str] = ..., candidates: _Optional[int] = ..., encode_us: _Optional[int] = ..., search_us: _Optional[int] = ..., method: _Optional[str] = ...) -> None: ...

class RetrieveResponse(_message.Message):
    __slots__ = ("candidates", "bundle_version", "fallback", "unknown_items", "unused_features", "sources")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    bundle_version: str
    fallback: Fallback
    unknown_items: int
    unused_features: int
    sources: _containers.RepeatedCompositeFieldContainer[SourceReport]
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., bundle_version: _Optional[str] = ..., fallback: _Optional[_Union[Fallback, str]] = ..., unknown_items: _Optional[int] = ..., unused_features: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[SourceReport, _Mapping]]] = ...) -> None: ...

class GetServingInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServingInfoResponse(_message.Message):
    __slots__ = ("bundle_name", "bundle_version", "format_version", "created_ms", "loaded_ms", "load_ms", "countries", "max_k", "max_history")
    BUNDLE_NAME_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    LOADED_MS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    COUNTRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_K_FIELD_NUMBER: _ClassVar[int]
    MAX_HISTORY_FIELD_NUMBER: _ClassVar[int]
    bundle_name: str
    bundle_version: str
    format_version: str
    created_ms: int
    loaded_ms: int
    load_ms: int
    countries: _containers.RepeatedCompositeFieldContainer[CountryInfo]
    max_k: int
    max_history: int
    def __init__(self, bundle_name: _Optional[str] = ..., bundle_version: _Optional[str] = ..., format_version: _Optional[str] = ..., created_ms: _Optional[int] = ..., loaded_ms: _Optional[int] = ..., load_ms: _Optional[int] = ..., countries: _Optional[_Iterable[_Union[CountryInfo, _Mapping]]] = ..., max_k: _Optional[int] = ..., max_history: _Optional[int] = ...) -> None: ...

class CountryInfo(_message.Message):
    __slots__ = ("country", "items", "sources")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    country: str
    items: int
    sources: _containers.RepeatedCompositeFieldContainer[SourceInfo]
    def __init__(self, country: _Optional[str] = ..., items: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[SourceInfo, _Mapping]]] = ...) -> None: ...

class SourceInfo(_message.Message):
    __slots__ = ("source", "engine", "space", "dim", "ef", "recall", "recall_k", "recall_target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    RECALL_K_FIELD_NUMBER: _ClassVar[int]
    RECALL_TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    engine: str
    space: str
    dim: int
    ef: int
    recall: float
    recall_k: int
    recall_target: float
    def __init__(self, source: _Optional[str] = ..., engine: _Optional[str] = ..., space: _Optional[str] = ..., dim: _Optional[int] = ..., ef: _Optional[int] = ..., recall: _Optional[float] = ..., recall_k: _Optional[int] = ..., recall_target: _Optional[float] = ...) -> None: ...
