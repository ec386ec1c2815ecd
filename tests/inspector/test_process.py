"""The inspector beside a server: where it runs, what becomes of it, and that serving never suffers."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from asking_inspector import Inspector
from running_server import RunningServer, eventually, request

from index_store.publish import publish
from server import exit_codes
from tiny_bundle import POLICY, tiny_content

Start = Callable[..., RunningServer]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Prepare a server with a bundle and an inspector of the test's own."""
    root = tmp_path / "bundles"
    publish(tiny_content(1), root=root, name="tiny", version="v1", policy=POLICY)

    def prepare(**settings: object) -> RunningServer:
        given = {"bundle_root": root, "bundle_name": "tiny", "inspector_port": 0, "workers": 1, **settings}
        return RunningServer(tmp_path / "log.txt", **given)

    return prepare


def _is_inspector(process: psutil.Process) -> bool:
    try:
        return "server.inspector" in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def _process(server: RunningServer) -> psutil.Process:
    """The inspector's process; the master has only one."""

    def found() -> list[psutil.Process]:
        return [child for child in server.family() if _is_inspector(child)]

    (process,) = eventually(found)
    return process


def _answers(server: RunningServer) -> None:
    with server.stub() as stub:
        assert stub.Retrieve(request(), timeout=10).candidates


def test_it_is_a_polite_child_of_the_master(server: RunningServer, inspector: Inspector) -> None:
    """Low priority, first to go when memory runs out, a process apart from those that answer."""
    assert inspector.get("status").status == 200
    process = _process(server)
    assert process.ppid() == server.process.pid
    assert process.nice() == min(psutil.Process(server.process.pid).nice() + 10, 19)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"


def test_a_killed_inspector_comes_back_at_the_same_address(start: Start) -> None:
    """Kill -9: calls are answered meanwhile, and a browser that asks waits for the next one."""
    with start() as server:
        server.wait_until_serving()
        page = Inspector.of(server)
        assert page.get("status").json["version"] == "v1"
        first = _process(server)
        first.kill()
        _answers(server)
        assert page.get("status").status == 200
        assert _process(server).pid != first.pid
        assert "the inspector ended: killed by SIGKILL; starting it again" in server.log


def test_one_that_always_ends_is_given_up_and_serving_goes_on(start: Start) -> None:
    """After too many ends in a minute there is one line, the port is free again, and calls are still answered."""
    with start() as server:
        server.wait_until_serving()
        page = Inspector.of(server)
        killed: set[int] = set()

        def given_up() -> bool:
            for child in server.family():
                if _is_inspector(child) and child.pid not in killed:
                    killed.add(child.pid)
                    child.kill()
            return "gave up the inspector" in server.log

        eventually(given_up, within_s=30)
        assert len(killed) == 6
        with pytest.raises(ConnectionRefusedError):
            page.get("status")
        _answers(server)


def test_it_ends_with_the_master(start: Start) -> None:
    """SIGTERM ends it with exit code 0 and without a word; kill -9 of the master ends it, too."""
    with start() as server:
        server.wait_until_serving()
        Inspector.of(server).get("status")
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit() == exit_codes.OK
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log
    with start() as server:
        server.wait_until_serving()
        process = _process(server)
        server.process.kill()
        assert not psutil.wait_procs([process], timeout=15)[1]


def test_a_taken_port_costs_the_page_only(start: Start) -> None:
    """A stranger on the port: one line, and the server serves."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with start(inspector_port=port) as server:
            server.wait_until_serving()
            assert f"no inspector: cannot listen on 127.0.0.1:{port}: Address already in use" in server.log
            _answers(server)


def test_without_its_packages_the_server_says_so_and_serves(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The extra is optional: where it is not installed, one line says which it is."""
    hidden = (
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'uvicorn' else find(name, *rest)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(hidden)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with start() as server:
        server.wait_until_serving()
        assert server.log.count("the inspector is not installed") == 1
        assert "inspector http" not in server.log
        _answers(server)


def test_it_follows_a_reload(start: Start, tmp_path: Path) -> None:
    """After SIGHUP the page is about the new version."""
    with start() as server:
        server.wait_until_serving()
        page = Inspector.of(server)
        assert page.get("overview").json["bundle"]["version"] == "v1"
        publish(tiny_content(2), root=tmp_path / "bundles", name="tiny", version="v2", policy=POLICY)
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"serving on .*\(reload\)")
        eventually(lambda: page.get("status").json["version"] == "v2")
        facts = page.get("overview").json["bundle"]
        assert (facts["version"], facts["data_fingerprint"]) == ("v2", f"{2:064x}")
