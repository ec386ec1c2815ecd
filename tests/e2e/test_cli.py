"""The command line against a server: `query`, `health`, the load client, the printed examples."""

import json
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import one_line_of, shortlist

from processes import PYTHON, serving


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    """A server of it."""
    with serving(["--bundle-root", str(root), "--bundle-name", "tiny", "--workers", "1"]) as (_, address, _):
        yield address


@pytest.fixture(scope="module")
def odd_address(odd_root: Path) -> Iterator[str]:
    """A server of it."""
    with serving(["--bundle-root", str(odd_root), "--bundle-name", "tiny", "--workers", "1"]) as (_, address, _):
        yield address


def test_query_prints_titles_of_candidates_for_a_sample_user(root: Path, address: str) -> None:
    """A sample user's timeline is the history, and the table has ranks, keys, titles and scores."""
    result = shortlist("query", "--address", address, "--bundle-root", root, "--country", "FR", "--user", "FR-sample")
    assert result.returncode == 0, result.stderr
    assert "10 candidates in FR for user FR-sample" in result.stdout
    assert "history: 3 interactions, 3 in the catalogue" in result.stdout
    assert result.stdout.count("Title ") == 10
    assert "bundle v1" in result.stdout


def test_query_prints_titles_as_they_are(odd_address: str) -> None:
    """Brackets are no markup, colons no emoji, and control characters are shown as escapes."""
    result = shortlist("query", "--address", odd_address, "--country", "FR", "-k", 300)
    assert result.returncode == 0, result.stderr
    for title in ("Shirt [/XL] 3", "[blue] mug :smile:", r"a\x1b[2Jb\nc"):
        assert result.stdout.count(title) == 100


def _timeline(**changed: object) -> bytes:
    good = {"user": "FR-sample", "country": "FR", "item_ids": [7], "types": [1]}
    return json.dumps({**good, **changed}).encode()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"garbage", "JSON is malformed"),
        (b"\xff", "JSON is malformed"),
        (b'{"unknown": ' + b"[" * 100_000, "recursion"),
        (_timeline(types=[9]), "expected types from 0 to 5, found 9"),
        (_timeline(types=[]), "expected as many types as item_ids, found 0 and 1"),
        (_timeline(item_ids=[2**64]), "expected item_ids from 0 to 2^64 - 1"),
        (_timeline(item_ids=["7"]), "Expected `int`, got `str`"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_damaged_sample_user_is_named_by_its_line(address: str, tmp_path: Path, line: bytes, text: str) -> None:
    """The file of sample users is not checked by a server, so `query` says what is wrong with it, and where."""
    path = tmp_path / "tiny" / "v1" / "samples" / "timelines.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(_timeline() + b"\n" + line + b"\n")
    arguments = ["--address", address, "--bundle-root", tmp_path, "--country", "FR", "--user", "FR-sample"]
    result = shortlist("query", *arguments)
    message = one_line_of(result)
    assert f"{path}, line 2: not a sample user: " in message
    assert text in message
    assert result.returncode == 10


def test_query_by_keys_as_json_is_the_reply(address: str) -> None:
    """`--json` prints the reply's fields for a program."""
    result = shortlist(
        "query", "--address", address, "--country", "FR", "--items", "fr-0001,fr-0002,zzz", "-k", 3, "--json"
    )
    reply = json.loads(result.stdout)
    assert len(reply["candidates"]) == 3
    assert reply["unknown_items"] == 1
    assert all(candidate["details"]["item_key"].startswith("fr-") for candidate in reply["candidates"])


def test_query_by_ids_reaches_items_without_keys(address: str) -> None:
    """Numeric ids work where the catalogue has no keys, and the table then shows ids."""
    result = shortlist("query", "--address", address, "--country", "DE", "--item-ids", "7", "-k", 2)
    assert result.returncode == 0, result.stderr
    assert "history: 1 interactions, 1 in the catalogue" in result.stdout


def test_query_without_history_says_that_it_is_not_personal(address: str) -> None:
    """The fallback is told to the person who asks."""
    result = shortlist("query", "--address", address, "--country", "US", "-k", 4)
    assert "not personal: the history is empty" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--country", "XX"], 9, "NOT_FOUND: unknown country 'XX'; the bundle has DE, FR, US"),
        (["--country", "FR", "-k", "0"], 9, "INVALID_ARGUMENT: invalid request: k: expected 1 to 1000, found 0"),
        (["--country", "FR", "-k", "-1"], 2, "-k -1"),
        (
            ["--country", "FR", "--item-ids", "seven"],
            2,
            "--item-ids: expected numbers from 0 to 2^64 - 1, found 'seven'",
        ),
        (["--country", "FR", "-k", str(2**32)], 2, "-k 4294967296: expected a number from 0 to 2^32 - 1"),
        (["--country", "F\udcff"], 2, "--country: expected UTF-8, found 'F\\udcff'"),
        (["--country", "FR", "--items", "a,\udcff"], 2, "--items: expected UTF-8"),
        (["--country", "FR", "--item-ids", "1" * 5000], 2, "--item-ids: expected numbers from 0 to 2^64 - 1"),
        (["--country", "FR", "--timeout", "nan"], 2, "--timeout: expected more than 0"),
        (["--country", "FR", "--timeout", "0"], 2, "--timeout: expected more than 0"),
        (["--country", "FR", "--address", ""], 2, "--address: expected HOST:PORT, found ''"),
        (["--country", "FR", "--address", "localhost"], 2, "--address: expected HOST:PORT"),
        (["--country", "FR", "--address", "http://localhost:50051"], 2, "--address: expected HOST:PORT"),
        (["--country", "FR", "--address", "localhost:65536"], 2, "--address: expected HOST:PORT"),
        (["--country", "FR", "--address", "[::zz]:50051"], 2, "--address: expected HOST:PORT"),
        (["--country", "FR", "--address", "[::1]:1"], 8, "is `shortlist serve` running there?"),
        (
            ["--country", "FR", "--items", "a", "--user", "b"],
            2,
            "give one of --user, --items, --item-ids, --history and --similar",
        ),
        (["--country", "FR", "--user", "nobody"], 10, "no sample user nobody in FR; users of FR: FR-sample"),
        (["--country", "FR", "--user", "US-sample"], 10, "user US-sample is a user of US"),
        (["--country", "FR", "--address", "127.0.0.1:1"], 8, "is `shortlist serve` running there?"),
        (["--country", "FR", "--user", "x", "--bundle-root", "/nowhere"], 10, "see --bundle-root"),
    ],
)
def test_query_errors_are_one_line_with_their_exit_code(
    root: Path, address: str, arguments: list[str], code: int, text: str
) -> None:
    """Whatever goes wrong, the message says what to do next and the exit code says whose turn it is."""
    result = shortlist("query", "--address", address, "--bundle-root", root, *arguments)
    assert text in one_line_of(result)
    assert result.returncode == code


@pytest.mark.parametrize("service", ["", "retrieval.v1.Retrieval"])
def test_health_of_a_serving_server_is_0(address: str, service: str) -> None:
    """Overall and by the service's name."""
    result = shortlist("health", "--address", address, "--service", service)
    assert (result.returncode, result.stdout) == (0, "SERVING\n")


def test_health_that_is_not_good_is_one_line_with_its_exit_code(address: str) -> None:
    """8 where nothing answers, 11 for a service that the server does not have."""
    assert "knows no service" in one_line_of(unknown := shortlist("health", "--address", address, "--service", "x"))
    assert unknown.returncode == 11
    assert "no answer from" in one_line_of(nobody := shortlist("health", "--address", "127.0.0.1:1"))
    assert nobody.returncode == 8


def test_the_load_client_wants_a_version_of_a_bundle(root: Path) -> None:
    """The bundle's own directory has no sample users; it says which directory has."""
    command = [PYTHON, "-m", "loadtest", str(root / "tiny")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "build/bundles/NAME/VERSION" in result.stderr


def test_the_load_client_reports_good_calls(root: Path, address: str) -> None:
    """The open-loop client gets an answer to every planned request and prints its percentiles as JSON."""
    command = [PYTHON, "-m", "loadtest", str(root / "tiny" / "v1")]
    options = [
        "--address",
        address,
        "--rates",
        "50",
        "--seconds",
        "1",
        "--warm-up",
        "0.2",
        "--connections",
        "2",
        "--json",
    ]
    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["errors"] == 0
    assert 0 < row["p50_ms"] <= row["p99_ms"]


def test_the_smoke_check_holds_a_bundle_to_its_word() -> None:
    """Served recall must reach the target, and the manifest's own recall but for the tolerance."""
    recall_fault = runpy.run_path(str(Path(__file__).parents[1] / "smoke.py"))["recall_fault"]
    country = SimpleNamespace(code="FR", recall=0.99, recall_target=0.95)
    assert recall_fault(country, 0.98) == ""
    assert "FR: served recall 0.9600 is more than 0.02 under the 0.9900 of the manifest" in recall_fault(country, 0.96)
    assert "under the target 0.95" in recall_fault(country, 0.94)


@pytest.mark.parametrize(("page", "lines"), [("README.md", (1, 10)), ("docs/client.md", (3,))])
def test_the_python_examples_run_as_printed(address: str, page: str, lines: tuple[int, ...]) -> None:
    """Each example of the README and of the client's page, its address and time apart, prints what it should."""
    text = (Path(__file__).parents[2] / page).read_text()
    blocks = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) == len(lines)
    for code, wanted in zip(blocks, lines, strict=True):
        assert '"127.0.0.1:50051"' in code
        # the first call of a cold channel on a busy machine may take longer than a ranking service would wait
        patient = code.replace("timeout=0.05", "timeout=10").replace(", timeout_s=0.05", "")
        patient = patient.replace('Client("127.0.0.1:50051"', 'Client("127.0.0.1:50051", timeout_s=10')
        command = [PYTHON, "-c", patient.replace("127.0.0.1:50051", address)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.splitlines()) >= wanted
