"""What is being served, as GetServingInfo tells it."""

from collections.abc import Mapping

from index_store.bundle import Bundle
from index_store.country import Country
from models.encoder import OnnxEncoder
from protos.retrieval.v1 import retrieval_pb2 as pb
from server.inventory import IndexFacts, indices_of
from server.limits import Limits
from server.profiles import Profile


def feature_kinds(encoders: Mapping[str, OnnxEncoder]) -> Mapping[str, str]:
    """Say which features the encoders take, by the callers' names: "number" or "category"; a bucket is of a number."""
    taken = [feature for encoder in encoders.values() for feature in encoder.spec.features if feature.key]
    return {feature.key: "category" if feature.kind == "category" else "number" for feature in taken}


def encode_info(
    bundle: Bundle, features: Mapping[str, str], profiles: Mapping[str, Profile], limits: Limits, loaded_ms: int
) -> bytes:
    """Serialise a GetServingInfoResponse.

    features: kinds by name. loaded_ms: when this process was warm, ms since the Unix epoch.
    """
    return pb.GetServingInfoResponse(
        bundle_name=bundle.name,
        bundle_version=bundle.version,
        format_version=bundle.format_version,
        created_ms=bundle.created_ms,
        loaded_ms=loaded_ms,
        load_ms=bundle.load_ms,
        countries=[_country(bundle, country) for _, country in sorted(bundle.countries.items())],
        max_k=limits.max_k,
        max_history=limits.max_history,
        max_excluded=limits.max_excluded,
        max_batch=limits.max_batch,
        profiles=[_profile(profile) for profile in profiles.values()],
        features=[pb.FeatureInfo(name=name, kind=kind) for name, kind in sorted(features.items())],
    ).SerializeToString()


def _profile(profile: Profile) -> pb.ProfileInfo:
    sources = [source.name for source in profile.sources]
    return pb.ProfileInfo(name=profile.name, sources=sources, fusion=profile.fusion)


def _country(bundle: Bundle, country: Country) -> pb.CountryInfo:
    catalog = country.catalog
    return pb.CountryInfo(
        country=country.code,
        items=catalog.size,
        sources=[_source(facts) for facts in indices_of(bundle.manifest, country.code)],
        merchants=len(catalog.merchant_names),
        categories=len(catalog.category_names),
        has_prices=catalog.prices is not None,
    )


def _source(facts: IndexFacts) -> pb.SourceInfo:
    return pb.SourceInfo(
        source=facts.source,
        engine=facts.engine,
        space=facts.space,
        dim=facts.dim,
        ef=facts.ef,
        recall=facts.recall,
        recall_k=facts.recall_k,
        recall_target=facts.recall_target,
        type=f"INTERACTION_TYPE_{facts.type}" if facts.type else None,
        neighbours=facts.neighbours,
        triggers=facts.triggers,
    )
