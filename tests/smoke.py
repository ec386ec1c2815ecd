"""`make smoke`: serve the demo bundle, ask it over gRPC, compare with numpy, stop. Exits 0 only if all of it holds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent / "support"))

from exact import ExactCountry, countries, read_country, sample_histories, share_found
from index_store.layout import TIMELINES
from index_store.location import current_bundle
from processes import SHORTLIST, serving
from protos.retrieval.v1 import retrieval_pb2 as pb
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub
from server.settings import load_settings

K = 100
QUERIES = 200
SCORE_TOLERANCE = 1e-4
# the manifest's recall was measured on other users, so the served one may be this much lower
RECALL_TOLERANCE = 0.02


def main(config: Path) -> None:
    """Run the whole check against the bundle that CONFIG serves."""
    settings = load_settings(config, {}, {})
    bundle = current_bundle(settings.bundle_root, settings.bundle_name)
    with serving(["--config", str(config)]) as (server, address, _):
        with grpc.insecure_channel(address) as channel:
            stub = RetrievalStub(channel)
            faults = check_countries(stub, bundle) + check_profiles(stub, bundle)
        show_query(address, settings.bundle_root, bundle)
        exit_code = server.stop()
    if exit_code != 0:
        sys.exit(f"the server ended with exit code {exit_code}")
    if faults:
        sys.exit("smoke: " + "; ".join(faults))
    Console().print("smoke: all good; everything that was started has stopped")


def check_countries(stub: RetrievalStub, bundle: Path) -> list[str]:
    """Print served recall beside the manifest's; what is wrong with it, country by country."""
    table = Table(title=f"Served top {K} against numpy over the files of {bundle.parent.name}/{bundle.name}")
    for name in ("country", "items", "engine", "requests", "recall, manifest", "recall, served"):
        table.add_column(name, justify="left" if name in {"country", "engine"} else "right")
    faults = []
    for code in track(countries(bundle), "asking every country"):
        country = read_country(bundle, code)
        histories = sample_histories(bundle, country, QUERIES)
        served = float(np.mean([check_answer(stub, country, history) for history in histories]))
        fault = recall_fault(country, served)
        faults += [fault] if fault else []
        style = "bold red" if fault else None
        sizes = f"{len(country.item_ids):,}", country.engine, str(len(histories))
        table.add_row(code, *sizes, f"{country.recall:.4f}", f"{served:.4f}", style=style)
    Console().print(table)
    return faults


def recall_fault(country: ExactCountry, served: float) -> str:
    """Say what is wrong with a country's served recall: under its target, or not what the manifest promises."""
    if served < country.recall_target:
        return f"{country.code}: served recall {served:.4f} is under the target {country.recall_target}"
    if served < country.recall - RECALL_TOLERANCE:
        promised = f"{country.recall:.4f} of the manifest"
        return f"{country.code}: served recall {served:.4f} is more than {RECALL_TOLERANCE} under the {promised}"
    return ""


def check_answer(stub: RetrievalStub, country: ExactCountry, history: np.ndarray) -> float:
    """One request: exactly k candidates, each with numpy's score, in descending order; its recall."""
    interactions = [pb.Interaction(item_id=int(item)) for item in history[-500:]]
    request = pb.RetrieveRequest(country=country.code, history=interactions, k=K, profile="led")
    response = stub.Retrieve(request, timeout=10)
    item_ids = [candidate.item_id for candidate in response.candidates]
    found = np.array([candidate.score for candidate in response.candidates])
    scores = country.scores(history[-500:])
    order = np.argsort(country.item_ids)
    rows = order[np.searchsorted(country.item_ids, np.array(item_ids, dtype=np.uint64), sorter=order)]
    if len(set(item_ids)) != min(K, len(scores)):
        sys.exit(f"{country.code}: expected {min(K, len(scores))} different candidates, found {len(set(item_ids))}")
    worst = float(np.max(np.abs(found - scores[rows]) / np.maximum(1.0, np.abs(scores[rows]))))
    if worst > SCORE_TOLERANCE or (np.diff(found) > 0).any():
        sys.exit(f"{country.code}: scores differ from numpy's by {worst:.2g}, or are not in descending order")
    return share_found(country, scores, item_ids, K)


def check_profiles(stub: RetrievalStub, bundle: Path) -> list[str]:
    """Ask every country by every profile, all in one batch; what is wrong with the answers."""
    info = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=10)
    timelines = {line["country"]: line for line in map(json.loads, (bundle / TIMELINES).read_bytes().splitlines())}
    faults = []
    for profile in track(info.profiles, "asking by every profile"):
        served = [country for country in info.countries if country.country in timelines]
        requests = [_by_profile(profile.name, timelines[country.country]) for country in served]
        batch = pb.RetrieveBatchRequest(requests=requests)
        for country, reply in zip(served, stub.RetrieveBatch(batch, timeout=30).responses, strict=True):
            place = f"{country.country}, profile {profile.name}"
            if len({candidate.item_id for candidate in reply.candidates}) != min(K, country.items):
                faults.append(f"{place}: {len(reply.candidates)} candidates")
            if reply.fallback not in (pb.FALLBACK_NONE, pb.FALLBACK_BACKFILLED):
                faults.append(f"{place}: {pb.Fallback.Name(reply.fallback)}")
    return faults


def _by_profile(profile: str, timeline: dict[str, Any]) -> pb.RetrieveRequest:
    history = [
        pb.Interaction(item_id=item_id, type=kind)
        for item_id, kind in zip(timeline["item_ids"][-500:], timeline["types"][-500:], strict=True)
    ]
    return pb.RetrieveRequest(country=timeline["country"], history=history, k=K, profile=profile)


def show_query(address: str, root: Path, bundle: Path) -> None:
    """Print what a person sees: the first sample user of France, or of the first country there is."""
    codes = countries(bundle)
    code = "FR" if "FR" in codes else codes[0]
    timelines = [json.loads(line) for line in (bundle / TIMELINES).read_bytes().splitlines()]
    user = next(timeline["user"] for timeline in timelines if timeline["country"] == code)
    command = [SHORTLIST, "query", "--address", address, "--bundle-root", str(root), "--country", code]
    subprocess.run([*command, "--user", user], check=True)


if __name__ == "__main__":
    typer.run(main)
