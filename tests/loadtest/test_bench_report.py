"""The page of the bench: tables between markers."""

from pathlib import Path

import pytest

from loadtest.bench_aims import aims
from loadtest.bench_report import TABLES, scaling, write_report

_PAGE = (
    "before\n<!-- bench:connections -->\nold\n<!-- end -->\nbetween\n<!-- bench:sizes -->\nkept\n<!-- end -->\nafter\n"
)


def _spread(median: float) -> dict[str, float]:
    return {"median": median, "least": median / 2, "most": median * 2}


def test_only_measured_blocks_are_replaced(tmp_path: Path) -> None:
    """Text outside of blocks, and blocks whose part was not measured, stay; ranges stand beside medians."""
    page = tmp_path / "page.md"
    page.write_text(_PAGE)
    each = {
        "capacity": {"achieved_rate": _spread(4000.0), "server_cpu_us": _spread(250.0)},
        "half": {"p50_ms": _spread(0.4), "p99_ms": _spread(12.0)},
    }
    for _ in range(2):  # the second time over the first's tables
        write_report({"connections": {"found": {"16": each}}}, page)
    row = "| 16 | 4,000 (2,000 to 8,000) | 250 (125 to 500) | 0.40 (0.20 to 0.80) | 12.0 (6.00 to 24.0) |"
    lines = page.read_text().splitlines()
    assert lines[0] == "before"
    assert row in lines
    assert "old" not in lines
    assert lines[-5:] == ["between", "<!-- bench:sizes -->", "kept", "<!-- end -->", "after"]
    assert page.read_text().count("| 16 |") == 1


def test_the_tax_is_that_of_the_turns() -> None:
    """Of each its server's CPU less its limit, not the difference of medians of different minutes."""
    each = {
        "capacity": {"achieved_rate": _spread(4000.0), "server_cpu_us": _spread(250.0)},
        "half": {"p50_ms": _spread(0.4), "p99_ms": _spread(12.0)},
        "nothing": {"server_cpu_us": _spread(30.0)},
        "tax": _spread(50.0),
    }
    found = {"limit": {"limit_us": _spread(300.0)}, "native": each, "grpcio": {**each, "tax": _spread(200.0)}}
    judged = aims({"transports": {"found": found}})
    assert [(each.found, each.met) for each in judged] == [("50", True), ("200", False)]
    lines = TABLES["transports"]({"transports": {"found": found}})
    assert "| 50.0 (25.0 to 100) |" in lines[2]
    assert "300 (150 to 600) µs" in lines[-1]


def test_every_block_of_the_page_has_a_table() -> None:
    """A misspelt marker would never be filled."""
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    names = [line.split("bench:")[1].split(" ")[0] for line in page.splitlines() if line.startswith("<!-- bench:")]
    assert set(names) == set(TABLES)
    assert page.count("<!-- end -->") == len(names)


def test_scaling_discounts_what_the_client_takes() -> None:
    """Two workers that got less than two cores are compared by what a core's second gave."""
    one = {"capacity": {"achieved_rate": _spread(4000), "server_cpu_us": _spread(250)}, "memory": {"pss": 500.0}}
    two = {"capacity": {"achieved_rate": _spread(7000), "server_cpu_us": _spread(260)}, "memory": {"pss": 540.0}}
    assert scaling(one, two) == pytest.approx((1.75, 2 * 250 / 260, 1.08))
