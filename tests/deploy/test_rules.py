"""Rules and dashboards, without a server: promtool's own checks, and that all speak of metrics that there are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_server import RULES, tool
from short_rules import shorten

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
ALERTS = (RULES / "alerts.yml").read_text(encoding="utf-8")
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "ALERTS"}
SUFFIXES = r"_(bucket|count|sum)$"


def promtool(*arguments: object) -> None:
    """Run it; its output fails the test where it does."""
    result = subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_accepts_rules_and_configuration() -> None:
    """Syntax, types of expressions, templates of annotations."""
    promtool("check", "rules", *RULES.glob("*.yml"))
    promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")


@pytest.mark.parametrize("tests", sorted((DEPLOY / "prometheus" / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_the_unit_tests_of_the_rules_pass(tests: Path) -> None:
    """Each alert fires for its reason, after its time, and not before."""
    promtool("test", "rules", tests)


def test_every_alert_has_a_unit_test() -> None:
    """Its name stands in one of them."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (DEPLOY / "prometheus" / "tests").glob("*.yml"))
    assert [name for name in re.findall(r"- alert: (\w+)", ALERTS) if name not in tests] == []


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The page, the anchor, and the alert's name or the tail of it under that heading."""
    names, pages = re.findall(r"- alert: (\w+)", ALERTS), re.findall(r"runbook_url: (\S+)", ALERTS)
    assert len(names) == len(pages)
    sections = dict(re.findall(r"^### (\S+)\n((?:(?!^#).*\n)+)", OPERATIONS.partition("## Runbooks")[2], re.MULTILINE))
    for name, page in zip(names, pages, strict=True):
        path, _, anchor = page.partition("#")
        assert path == "docs/operations.md"
        tail = re.sub(r"^Shortlist(?:Availability|Latency)Burn", "", name)
        assert f"`{name}`" in sections[anchor] or f"`…{tail}`" in sections[anchor], name
        assert "**Means**" in sections[anchor]
    assert set(sections) == {page.partition("#")[2] for page in pages}


def test_every_metric_that_is_asked_for_is_documented() -> None:
    """Names in rules and panels are in docs/metrics.md, are recorded by a rule, or are Prometheus' own."""
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    recording = (RULES / "recording.yml").read_text(encoding="utf-8")
    recorded = set(re.findall(r"record: (\S+)", recording))
    boards = (DEPLOY / "grafana" / "boards.toml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\b(?:[a-z_]+:)?(?:grpc_server|shortlist)_\w+(?::\w+)?", ALERTS + recording + boards))
    unknown = {name for name in asked if re.sub(SUFFIXES, "", name) not in documented | OF_PROMETHEUS}
    assert unknown - recorded - {"shortlist_errors", "shortlist_slow_retrieves"} == set()


def test_the_dashboards_are_what_their_description_renders() -> None:
    """`make dashboards` would change nothing."""
    program = "import build; print([path.name for path, text in build.render().items() if path.read_text() != text])"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=DEPLOY / "grafana", capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]", "run `make dashboards`"


def test_shortened_rules_differ_in_their_times_only() -> None:
    """What the tests against a real Prometheus evaluate: each range and wait, divided, and nothing else."""
    rules = "expr: rate(a[5m]) > 7 * 86400 and x:rate5m and increase(b[1d]) > 1\nfor: 0s\n        for: 2m\n"
    rules += "expr: x_age_seconds > 900\n"
    changed = (
        rules.replace("[5m]", "[5000ms]")
        .replace("[1d]", "[1440000ms]")
        .replace("for: 2m", "for: 2000ms")
        .replace("900", "15")
    )
    assert shorten(rules, 60) == changed
