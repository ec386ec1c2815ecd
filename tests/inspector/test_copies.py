"""The calls to copy, run as a person would paste them: each gives what the page shows."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from asking_inspector import Inspector
from google.protobuf import json_format
from inspected_bundle import HOSTILE_MERCHANT
from running_server import RunningServer

from index_store.content import BundleContent
from processes import PYTHON, SHORTLIST
from protos.retrieval.v1 import retrieval_pb2 as pb

HISTORY = [("7", "VIEW"), ("row", "CART"), (str(2**64 - 1), "PURCHASE"), ("7", "UNSPECIFIED")]
CASES: dict[str, dict[str, Any]] = {
    "nobody": {"country": "FR", "k": 7},
    "a history with types": {"country": "FR", "k": 7, "history": HISTORY},
    "a country with ids only": {"country": "DE", "k": 5, "history": HISTORY},
    "items of the history allowed": {
        "country": "US",
        "k": 9,
        "history": HISTORY,
        "exclude_history": False,
        "profile": "default",
    },
    "filters": {
        "country": "FR",
        "k": 8,
        "history": HISTORY[:1],
        "merchants": [HOSTILE_MERCHANT, "merchant-3", "-x"],
        "categories": ["category-1", "category-2"],
        "lowest": 0.75,
        "highest": 60.25,
        "excluded": ["row"],
    },
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def asked(request: pytest.FixtureRequest, inspector: Inspector, content: BundleContent) -> dict[str, Any]:
    """One case as the page got it: the question, the ids it shows, and the copies."""
    question = dict(CASES[request.param])
    some_id = str(content.countries[question["country"]].item_ids[4])
    history = [(some_id if item == "row" else item, kind) for item, kind in question.pop("history", [])]
    question["history"] = [{"item_id": item, "type": kind} for item, kind in history]
    if "excluded" in question:
        question["excluded"] = [some_id]
    found = inspector.post("query", question).json
    ids = [one["id"] for one in found["answer"]["candidates"]]
    assert ids
    return {"question": question, "ids": ids, **found["copies"]}


def _run(command: list[str], folder: Path) -> str:
    path = f"{Path(SHORTLIST).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=folder, env={**os.environ, "PATH": path}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_command_gives_the_same(asked: dict[str, Any], tmp_path: Path) -> None:
    """`shortlist query` as pasted into a shell, hostile names included, with --json to read its answer."""
    reply = json.loads(_run(["bash", "-c", f"{asked['query']} --json"], tmp_path))
    assert [one["item_id"] for one in reply["candidates"]] == asked["ids"]
    assert not list(tmp_path.iterdir())


def test_the_program_gives_the_same(asked: dict[str, Any], tmp_path: Path) -> None:
    """The Python text, run as a file."""
    (tmp_path / "call.py").write_text(asked["python"])
    lines = _run([PYTHON, str(tmp_path / "call.py")], tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == asked["ids"]


def test_the_grpcurl_call_has_the_same_message(asked: dict[str, Any], server: RunningServer) -> None:
    """Its JSON is the contract's, and the server answers that message the same; grpcurl itself is no Python package."""
    words = shlex.split(asked["grpcurl"])
    assert words[:3] == ["grpcurl", "-plaintext", "-d"]
    assert words[4:] == [server.address, "retrieval.v1.Retrieval/Retrieve"]
    message = json_format.Parse(words[3], pb.RetrieveRequest())
    with server.stub() as stub:
        assert [str(one.item_id) for one in stub.Retrieve(message).candidates] == asked["ids"]


def test_a_sample_user_is_named_as_long_as_the_history_is_theirs(
    inspector: Inspector, inspector_root: Path, tmp_path: Path
) -> None:
    """`--user` for the whole history; once it is changed, the history is written out."""
    history = inspector.get("user", country="FR", user="FR-sample").json["history"]
    events = [{"item_id": event["item"]["id"], "type": event["type"]} for event in history]
    question = {"country": "FR", "k": 6, "user": "FR-sample", "history": events}
    theirs = inspector.post("query", question).json
    command = theirs["copies"]["query"]
    assert f"--user FR-sample --bundle-root {inspector_root}" in command
    reply = json.loads(_run(["bash", "-c", f"{command} --json"], tmp_path))
    assert [one["item_id"] for one in reply["candidates"]] == [one["id"] for one in theirs["answer"]["candidates"]]
    changed = inspector.post("query", {**question, "history": events[1:]}).json["copies"]["query"]
    assert "--user" not in changed
    assert "--history click:fr-0001,purchase:fr-0002" in changed
