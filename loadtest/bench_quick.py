"""`python -m loadtest.bench_quick`: the headline of the bench in under 50 seconds; the last line is one JSON object.

LED over the recommender-like million, k = 100, history 20, recall at least 0.95; transport and engine as the settings'
`auto` and the publisher choose. The bundle is made first, once; that is not part of the 50 seconds.
"""

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console

from loadtest.bench_bundle import BenchBundle, prepare
from loadtest.floor import floor
from loadtest.rig import Plan, at_rate, capacity, in_process, recall_of, summary, target_of
from loadtest.scenario import Scenario, scenarios
from loadtest.served import served

_RUNS = 3
_SECONDS = 2.5


def main(
    items: Annotated[int, typer.Option(help="Catalogue size.")] = 1_000_000,
    transport: Annotated[str, typer.Option(help="auto, native or grpcio.")] = "auto",
    seconds: Annotated[float, typer.Option(help="How long one run holds.")] = _SECONDS,
    runs: Annotated[int, typer.Option(help="Runs of each figure.")] = _RUNS,
) -> None:
    """Measure and print."""
    scenario = scenarios(items)["led95"]
    bundle = prepare(scenario.wanted)
    console = Console(stderr=True)
    started = time.monotonic()
    with console.status("encode and search alone") as status:
        limit = in_process(scenario, items, seconds, exact=False)
        status.update("the transport alone")
        plan = Plan(runs, seconds)
        nothing = floor(transport, plan)
        status.update("serving")
        found = _served(scenario, bundle, transport, plan)
    line = quick_line(found, limit, nothing) | {"items": items, "bench_s": time.monotonic() - started}
    typer.echo(json.dumps({key: round(each, 4) if isinstance(each, float) else each for key, each in line.items()}))


def _served(scenario: Scenario, bundle: BenchBundle, transport: str, plan: Plan) -> dict[str, Any]:
    """Recall, capacity, and latency at half of it."""
    with served(bundle.root, bundle.name, transport=transport, profiles=scenario.profiles) as server:
        target = target_of(server, scenario.payloads(bundle))
        recall = recall_of(server, scenario, bundle)
        most = summary(capacity(target, plan))
        half = summary(at_rate(target, most["achieved_rate"]["median"] / 2, plan))
        return {"recall": recall, "capacity": most, "half": half, "ready_s": server.ready_s, **server.memory_mib()}


def quick_line(found: dict[str, Any], limit: dict[str, float], nothing: dict[str, Any]) -> dict[str, Any]:
    """Name the figures as the last line has them: medians, microseconds and milliseconds."""
    most, half = found["capacity"], found["half"]
    return {
        "led_cpu_us": most["server_cpu_us"]["median"],
        "tax_cpu_us": most["server_cpu_us"]["median"] - limit["limit_us"],
        "led_recall": found["recall"],
        "led_qps": most["achieved_rate"]["median"],
        "led_p50_ms": half["p50_ms"]["median"],
        "led_p99_ms": half["p99_ms"]["median"],
        "led_p99_9_ms": half["p99_9_ms"]["median"],
        "led_half_cpu_us": half["server_cpu_us"]["median"],
        "half_rate": half["offered_rate"],
        "limit_us": limit["limit_us"],
        "encode_us": limit["encode_us"],
        "search_us": limit["search_us"],
        "floor_cpu_us": nothing["server_cpu_us"]["median"],
        "errors": most["errors"],
        "half_errors": half["errors"],
        "client_cpu_us": most["client_cpu_us"]["median"],
        "client_share": most["client_share"]["median"],
        "ready_s": found["ready_s"],
        "pss_mib": found["pss"],
    }


if __name__ == "__main__":
    typer.run(main)
