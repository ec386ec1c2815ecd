"""The command line on a bundle of all sources, as a person uses it."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from index_store.publish import publish
from processes import SHORTLIST, serving
from tiny_bundle import POLICY
from tiny_sources import full_content

CONFIG = """
[profiles.default]
sources = [{ name = "led" }, { name = "two_tower" }, { name = "pdn" }, { name = "item_interaction" }]
[profiles.paths]
sources = [{ name = "pdn" }]
fusion = "single"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one published bundle and a settings file."""
    root = tmp_path_factory.mktemp("root")
    publish(full_content(3), root=root, name="tiny", version="v1", policy=POLICY)
    (root / "shortlist.toml").write_text(CONFIG)
    return root


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    """A server of it."""
    options = ["--bundle-root", str(root), "--bundle-name", "tiny", "--workers", "1"]
    with serving([*options, "--config", str(root / "shortlist.toml")]) as (_, address, _):
        yield address


@pytest.fixture(scope="module")
def ask(root: Path, address: str) -> "Ask":
    """Ask the server."""
    return Ask(root, address)


class Ask:
    """`shortlist query` in FR, wide enough that no cell is broken."""

    def __init__(self, root: Path, address: str) -> None:
        self._command = [SHORTLIST, "query", "--address", address, "--bundle-root", str(root), "--country", "FR"]

    def __call__(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run it, good or not."""
        command = ["env", "COLUMNS=200", *self._command, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def printed(self, *options: str) -> str:
        """What a good question prints."""
        result = self(*options)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def json(self, *options: str) -> dict[str, list[dict[str, object]]]:
        """Its reply."""
        reply: dict[str, list[dict[str, object]]] = json.loads(self.printed("--json", *options))
        return reply


def test_an_answer_says_who_found_what(ask: Ask) -> None:
    """The heading names the profile, the table the sources of each candidate, the last lines what each source did."""
    text = ask.printed("--user", "FR-sample", "-k", "8")
    assert "8 candidates in FR for user FR-sample, profile default" in text
    assert "found by" in text
    for source in ("led", "two_tower", "pdn", "item_interaction"):
        assert re.search(rf"^{source}: \d of \d+ found, by \w+", text, re.MULTILINE)
    assert "· bundle v1" in text


def test_reasons_are_sums_that_a_person_can_check(ask: Ask) -> None:
    """PDN's line adds up to its score; the other sources name the item of the history and what was done with it."""
    text = ask.printed("--user", "FR-sample", "-k", "12", "--explain")
    sums = re.findall(r"^ +pdn +#\d+ +(\S+)  = direct (\S+)((?: \+ \S+ via .*)+)$", text, re.MULTILINE)
    assert sums
    for score, direct, paths in sums:
        parts = [float(part) for part in re.findall(r"\+ (\S+) via", paths)]
        assert float(direct) + sum(parts) == pytest.approx(float(score), abs=0.005)
    assert re.search(r"^ +led +#\d+ +\S+  \S+ of it from 'Title \d é' \((viewed|clicked|bought)\)$", text, re.MULTILINE)
    assert re.search(r"^ +two_tower +#\d+ +\S+  would lose \S+ without 'Title \d é'", text, re.MULTILINE)
    assert re.search(
        r"^ +item_interaction +#\d+ +\S+  'Title \d é' \(viewed\) leads to (the cart|a purchase)$", text, re.MULTILINE
    )


def test_sources_side_by_side(ask: Ask) -> None:
    """A column for the profile's answer and one for each source alone, popularity last, best first in each."""
    text = ask.printed("--user", "FR-sample", "-k", "4", "--compare")
    heading = next(line for line in text.splitlines() if "┃ #" in line)
    names = [name.strip() for name in heading.strip("┃").split("┃")]
    assert names == ["#", "default", "led", "two_tower", "pdn", "item_interaction", "popular"]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    alone = ask.json("--user", "FR-sample", "-k", "4", "--profile", "paths")
    titles = [candidate["details"]["title"] for candidate in alone["candidates"]]  # type: ignore[index]
    assert [row[4] for row in rows] == titles
    batch = ask.json("--user", "FR-sample", "-k", "4", "--compare")
    assert len(batch["responses"]) == 6


def test_filters_hold(ask: Ask) -> None:
    """Merchant, category, price, excluded keys and ids, together; FR's merchants and categories go round by row."""
    options = ["--merchant", "merchant-1", "--merchant", "merchant-2", "--category", "category-3"]
    first = ask.json("--user", "FR-sample", "-k", "3", *options, "--price", "1:")
    assert len(first["candidates"]) == 3
    for candidate in first["candidates"]:
        details = candidate["details"]
        assert details["merchant"] in {"merchant-1", "merchant-2"}  # type: ignore[index]
        assert details["category"] == "category-3"  # type: ignore[index]
    key, item_id = first["candidates"][0]["details"]["item_key"], first["candidates"][1]["item_id"]  # type: ignore[index]
    second = ask.json("--user", "FR-sample", "-k", "3", *options, "--exclude", f"{key},id:{item_id}")
    assert {one["item_id"] for one in second["candidates"]} & {
        one["item_id"] for one in first["candidates"][:2]
    } == set()


def test_profile_seed_and_features_are_sent(ask: Ask) -> None:
    """The reply's profile is the one asked for; a feature of an encoder is used, a stranger counted."""
    reply = ask.json("--items", "fr-0001", "--profile", "paths", "--seed", "fr-0009", "-k", "2")
    assert (reply["profile"], [one["source"] for one in reply["sources"]]) == ("paths", ["pdn"])
    told = ask.json(
        "--items", "fr-0001", "--feature", "tier=gold", "--feature", "spent=20", "--feature", "age=3", "-k", "2"
    )
    assert told["unused_features"] == 1


def test_modules_are_headed_by_their_reason(ask: Ask) -> None:
    """Each list of item_interaction stands under the pair that leads to it."""
    text = ask.printed("--user", "FR-sample", "-k", "3", "--modules")
    assert re.search(r"^'Title 0 é' \(viewed\) leads to a purchase\n  1 Title \d+ é  -?\d\.\d{3}$", text, re.MULTILINE)


def test_items_like_one(ask: Ask) -> None:
    """By key or by id, without a history."""
    text = ask.printed("--similar", "fr-0004", "-k", "3")
    assert "items like fr-0004 in FR" in text
    assert "pdn: " in text
    assert ask.printed("--similar", "id:7", "-k", "2").startswith("2 items like id:7")


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--price", "5"], 2, "--price: expected LOW:HIGH, either may be left out, found '5'"),
        (["--price", "a:b"], 2, "--price: expected LOW:HIGH"),
        (["--price", "5:3"], 9, "filters.price: expected lowest to be at most highest, found 5 and 3"),
        (["--feature", "tier"], 2, "--feature: expected NAME=VALUE, found 'tier'"),
        (["--feature", "=3"], 2, "--feature: expected NAME=VALUE, found '=3'"),
        (["--feature", "spent=much"], 9, 'features["spent"]: expected a number, as in training'),
        (["--exclude", "id:x"], 2, "--exclude: expected numbers from 0 to 2^64 - 1, found 'x'"),
        (["--seed", "id:-1"], 2, "--seed: expected numbers from 0 to 2^64 - 1, found '-1'"),
        (["--merchant", "\udcff"], 2, "--merchant: expected UTF-8"),
        (["--profile", "none"], 9, "profile: unknown profile 'none'; the settings have default, paths"),
        (["--similar", "no such"], 9, "NOT_FOUND: item 'no such' is not in the catalogue of FR"),
        (["--similar", "a", "--user", "b"], 2, "give one of --user, --items, --item-ids, --history and --similar"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line(ask: Ask, options: list[str], code: int, text: str) -> None:
    """What is wrong is named, by the command or by the server, with the exit code that says whose turn it is."""
    result = ask(*options)
    (line,) = result.stderr.splitlines()
    assert line.startswith("shortlist: ")
    assert text in line
    assert result.returncode == code


def test_inspect_shows_every_index(root: Path) -> None:
    """All sources with their engines, the paths of PDN, and a curve for each graph."""
    result = subprocess.run(
        [SHORTLIST, "inspect", str(root / "tiny")], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    for text in (
        "item_interaction PURCHASE",
        "3 x 12 paths",
        "prices",
        "encoders: led, two_tower_query, trignet, pdn_user",
    ):
        assert text in result.stdout
    for index in ("led", "two_tower", "item_interaction CART"):
        assert f"FR, {index}: recall@10 against 0.95 wanted" in result.stdout


def test_verify_and_print_config_know_what_is_new(root: Path) -> None:
    """A bundle of all sources is good; the printed settings have the profiles, and are settings again."""
    verified = subprocess.run(
        [SHORTLIST, "verify", str(root / "tiny")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "tiny/v1 is good: format 1.2" in verified.stdout
    command = [SHORTLIST, "serve", "--print-config", "--config"]
    printed = subprocess.run(
        [*command, str(root / "shortlist.toml")], capture_output=True, text=True, check=True
    ).stdout
    assert f"[profiles.paths]  # {root / 'shortlist.toml'}" in printed
    (root / "again.toml").write_text(printed)
    again = subprocess.run([*command, str(root / "again.toml")], capture_output=True, text=True, check=True).stdout
    assert again.replace("again.toml", "shortlist.toml") == re.sub(
        r"# default$", f"# {root / 'shortlist.toml'}", printed, flags=re.MULTILINE
    )
