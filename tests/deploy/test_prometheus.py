"""A real Prometheus scrapes real servers: every panel has data, every alert is evaluated, and fires for its fault."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_server import RULES, Prometheus
from running_server import eventually
from troubled import Shop, kill_master, kill_workers, refuse_a_reload, shop, stop_judging

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
# five minutes in five seconds
FACTOR = 60
ALERTS = re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text(encoding="utf-8"))
# What cannot be made to fire here, and is left to the unit tests of the rules: an hour of waiting and more is a minute
# still; and whether a worker gets 0.85 of a core depends on who else is on the machine.
UNIT_ONLY = {
    "ShortlistAvailabilityBurnSlow",
    "ShortlistLatencyBurnSlow",
    "ShortlistAvailabilityBurnCreeping",
    "ShortlistLatencyBurnCreeping",
    "ShortlistCpuSaturated",
}
# A machine that is busy with other things may slow the healthy server, too; and the refused reload is its own.
ALSO_HEALTHY = {"ShortlistLatencyBurnFast", "ShortlistLatencyBurnSteady", "ShortlistQueueing", "ShortlistReloadRefused"}
# all others are made to fire in the job where most faults are
WHERE = {"ShortlistLiveRecallStale": "shortlist-unjudged"}
# what Grafana puts in its place
VARIABLES = {"$__rate_interval": "10s", "$job": "shortlist", "$country": ".*", "$source": ".*"}


@dataclass(frozen=True)
class World:
    """Servers, and who watches them."""

    servers: Shop
    prometheus: Prometheus


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All faults, begun."""
    folder = tmp_path_factory.mktemp("shop")
    with shop(folder) as servers, Prometheus(folder / "prometheus", servers.jobs(), FACTOR) as prometheus:
        # what happens before the first scrape is no increase to Prometheus
        targets = sum(map(len, servers.jobs().values()))
        eventually(lambda: len(prometheus.query("max_over_time(up[5m]) == 1")) == targets, within_s=60)
        refuse_a_reload(servers.healthy, folder)
        kill_workers(servers.crashing)
        eventually(lambda: prometheus.query('shortlist_live_recall_age_seconds{job="shortlist-unjudged"}'), within_s=60)
        stop_judging(servers.unjudged)
        yield World(servers, prometheus)


def _targets(dashboard: Path) -> list[tuple[str, str]]:
    panels: list[dict[str, Any]] = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    inner = [each for panel in panels for each in (panel, *panel.get("panels", ()))]
    return [(panel["title"], target["expr"]) for panel in inner for target in panel.get("targets") or ()]


def _filled_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize("dashboard", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_every_panel_has_data(world: World, dashboard: Path) -> None:
    """Each query of the dashboard gives numbers for a healthy server with a little load."""
    targets = _targets(dashboard)
    assert len(targets) > 10
    without = {(title, expression) for title, expression in targets}

    def all_have_data() -> bool:
        without.difference_update(
            [each for each in without if world.prometheus.query(_filled_in(each[1]))],
        )
        return not without

    try:
        eventually(all_have_data, within_s=40)
    except AssertionError:
        pytest.fail("\n".join(f"{title}: no data: {expression}" for title, expression in sorted(without)))


def test_every_rule_is_evaluated_without_error(world: World) -> None:
    """Prometheus says so of each, recording and alerting."""
    eventually(lambda: {rule["health"] for rule in world.prometheus.rules()} == {"ok"})
    rules = world.prometheus.rules()
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == set(ALERTS)


@pytest.mark.parametrize("alert", [name for name in ALERTS if name not in {*UNIT_ONLY, "ShortlistDown"}])
def test_a_real_fault_makes_the_alert_fire(world: World, alert: str) -> None:
    """Each fires within its time, and only where the fault is."""
    expression = f'count by (job, instance) (last_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[1h]))'
    fired = eventually(lambda: world.prometheus.query(expression), within_s=75)
    if alert not in ALSO_HEALTHY:
        assert {labels["job"] for labels, _ in fired} == {WHERE.get(alert, "shortlist-troubled")}


def test_a_server_that_is_gone_is_down(world: World) -> None:
    """Last, because it ends it: a killed master pages."""
    kill_master(world.servers.lost)
    instance = world.servers.lost.metrics_url.split("/")[2]
    fired = f'ALERTS{{alertname="ShortlistDown", alertstate="firing", instance="{instance}"}}'
    eventually(lambda: world.prometheus.query(fired), within_s=30)
