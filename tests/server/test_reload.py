"""Reload on SIGHUP: hand-over to a good bundle, and every reason to keep the old one."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from load import load, outcomes
from running_server import RunningServer, eventually
from running_server import request as retrieve

from damage_tools import Damage, flip, reseal, truncate
from index_store.content import BundleContent
from index_store.location import set_current
from index_store.publish import publish
from protos.retrieval.v1 import retrieval_pb2 as pb
from tiny_bundle import POLICY, tiny_content

Start = Callable[..., RunningServer]
Publish = Callable[[str, BundleContent], Path]


def _version(server: RunningServer) -> str:
    with server.stub() as stub:
        return str(stub.GetServingInfo(pb.GetServingInfoRequest(), wait_for_ready=True).bundle_version)


def _reloads(server: RunningServer, outcome: str) -> float:
    return server.metrics()[("shortlist_reloads_total", outcome)]


def test_a_reload_under_load_loses_no_call(start: Start, publish_version: Publish) -> None:
    """Clients that send a call again when its connection closes see no error, and end on the new version."""
    with start() as server:
        server.wait_until_serving()
        old = server.workers()
        with load(server, retry=True) as clients:
            publish_version("v2", tiny_content(2))
            server.signal(signal.SIGHUP)
            server.wait_for_log(r"serving on .*tiny/v2 \(reload\)")
            eventually(lambda: all(client.versions[-1] == "v2" for client in clients))
        assert outcomes(clients) == {"OK"}
        for client in clients:
            assert client.versions == sorted(client.versions), "went back to the old version"
        server.wait_for_log("has drained")
        assert not psutil.wait_procs(old, timeout=10)[1]
        assert len(server.workers()) == 2
        metrics = server.metrics()
        assert metrics[("shortlist_bundle_info", "1.2", "tiny", "v2")] == 1
        assert metrics[("shortlist_reloads_total", "ok")] == 1
        assert metrics[("shortlist_workers",)] == 2


def test_a_reload_costs_a_client_without_retries_next_to_nothing(start: Start, publish_version: Publish) -> None:
    """A connection that has to move goes straight to the new workers: no back-off, no series of failures."""
    with start() as server:
        server.wait_until_serving()
        with load(server) as clients:
            publish_version("v2", tiny_content(2))
            server.signal(signal.SIGHUP)
            server.wait_for_log("has drained")
            eventually(lambda: all(client.versions[-1] == "v2" for client in clients))
        assert outcomes(clients) <= {"OK", "UNAVAILABLE", "CANCELLED"}
        for client in clients:
            assert len(client.outcomes) - client.outcomes.count("OK") <= 2, client.outcomes


def test_counters_do_not_fall_over_a_reload(start: Start, publish_version: Publish) -> None:
    """The new generation counts on, twice over, so that both halves of the slots have been used."""
    with start() as server:
        server.wait_until_serving()
        seen = 0.0
        for version, seed in (("v2", 2), ("v3", 3), ("v4", 4)):
            with server.stub() as stub:
                stub.Retrieve(retrieve())
            publish_version(version, tiny_content(seed))
            server.signal(signal.SIGHUP)
            server.wait_for_log(rf"serving on .*tiny/{version} ")
            server.wait_for_log(r"has drained", count=seed - 1)
            count = server.metrics()[("grpc_server_handled_total", "OK", "Retrieve", "retrieval.v1.Retrieval")]
            assert count == seen + 1
            seen = count
        eventually(lambda: _version(server) == "v4")


def test_reloading_what_is_served_does_nothing(start: Start) -> None:
    """CURRENT unchanged: said in the log, counted, no new process."""
    with start() as server:
        server.wait_until_serving()
        workers = {worker.pid for worker in server.workers()}
        server.signal(signal.SIGHUP)
        server.wait_for_log("is already served")
        assert {worker.pid for worker in server.workers()} == workers
        assert _reloads(server, "unchanged") == 1


def _resealed(damage: Damage) -> Damage:
    def both(bundle: Path) -> None:
        damage(bundle)
        reseal(bundle)

    return both


def _swap_golden(bundle: Path) -> None:
    path = bundle / "golden" / "requests.json"
    path.write_bytes(path.read_bytes().replace(b'"user_vector":[', b'"user_vector":[9', 1))


@pytest.fixture(scope="module")
def steady(shared_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    """A server of one worker that serves v1 whatever it is told, and its bundle root."""
    folder = tmp_path_factory.mktemp("steady")
    root = shutil.copytree(shared_root, folder / "bundles")
    with RunningServer(folder / "log.txt", bundle_root=root, bundle_name="tiny", workers=1) as server:
        yield server.wait_until_serving(), root


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (flip("countries/FR/led/vectors.npy"), r"ChecksumMismatch \(M10\)"),
        (truncate("countries/FR/led/index.bin"), r"SizeMismatch \(M9\)"),
        (lambda bundle: (bundle / "encoders" / "led.onnx").unlink(), r"FileMissing \(M7\)"),
        (lambda bundle: (bundle / "manifest.json").unlink(), r"ManifestMissing \(M1\)"),
        (lambda bundle: (bundle / "manifest.json").write_text("{"), r"\w+ \(M3\)"),
        (_resealed(_swap_golden), r"GoldenMismatch \(M20\)"),
        (
            _resealed(lambda bundle: (bundle / "encoders" / "led.onnx").write_bytes(b"no graph")),
            r"EncoderMismatch \(M15\)",
        ),
    ],
    ids=["flipped bit", "truncated", "missing file", "missing manifest", "bad manifest", "golden", "no graph"],
)
def test_a_damaged_bundle_is_refused_and_the_old_one_stays(
    steady: tuple[RunningServer, Path], damage: Damage, error: str, request: pytest.FixtureRequest
) -> None:
    """The error is named in one line and counted; the same workers go on answering."""
    server, root = steady
    workers, refused = {worker.pid for worker in server.workers()}, _reloads(server, "refused")
    version = request.node.callspec.id.replace(" ", "-")
    damage(publish(tiny_content(2), root=root, name="tiny", version=version, policy=POLICY))
    server.signal(signal.SIGHUP)
    server.wait_for_log(rf"reload refused, still serving \S+v1: bundle \S+{version}: {error}")
    assert {worker.pid for worker in server.workers()} >= workers
    assert _version(server) == "v1"
    assert _reloads(server, "refused") == refused + 1


def test_a_good_bundle_is_taken_after_a_refused_one(start: Start, publish_version: Publish) -> None:
    """A refusal leaves nothing behind."""
    with start(workers=1) as server:
        server.wait_until_serving()
        flip("countries/FR/led/vectors.npy")(publish_version("v2", tiny_content(2)))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"reload refused, still serving \S+v1: bundle \S+v2")
        publish_version("v3", tiny_content(3))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"serving on .*tiny/v3 \(reload\)")
        eventually(lambda: _version(server) == "v3")


def test_a_pointer_to_nowhere_is_refused(start: Start, root: Path) -> None:
    """CURRENT names a version that is not there: refused without starting anything."""
    with start(workers=1) as server:
        server.wait_until_serving()
        set_current(root, "tiny", "v9")
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"reload refused, still serving \S+: CurrentInvalid \(M21\)")
        assert (_version(server), _reloads(server, "refused")) == ("v1", 1)


def test_a_generation_that_dies_while_starting_changes_nothing(start: Start, publish_version: Publish) -> None:
    """Kill -9 of the new generation: counted as failed, the old one stays."""
    with start(workers=1) as server:
        server.wait_until_serving()
        (old,) = server.generations()
        publish_version("v2", tiny_content(2))
        server.signal(signal.SIGHUP)
        eventually(lambda: [one for one in server.generations() if one.pid != old.pid])[0].kill()
        server.wait_for_log("reload failed, still serving .*killed by SIGKILL")
        assert (_version(server), _reloads(server, "failed")) == ("v1", 1)


def test_a_reload_that_takes_too_long_is_given_up(start: Start, publish_version: Publish) -> None:
    """start_timeout_s holds for reloads too, and the old bundle stays."""
    with start(workers=1, start_timeout_s=6.0) as server:
        server.wait_until_serving()
        (old,) = server.generations()
        publish_version("v2", tiny_content(2))
        server.signal(signal.SIGHUP)
        eventually(lambda: [one for one in server.generations() if one.pid != old.pid])[0].suspend()
        server.wait_for_log("reload failed, still serving .*not ready within start_timeout_s")
        assert (_version(server), _reloads(server, "failed")) == ("v1", 1)


def _profiles(server: RunningServer) -> list[str]:
    with server.stub() as stub:
        info = stub.GetServingInfo(pb.GetServingInfoRequest(), wait_for_ready=True)
    return [profile.name for profile in info.profiles]


def _profile(name: str) -> str:
    return f'[profiles.{name}]\nsources = [{{ name = "led", quota = 3 }}]\nfusion = "single"\nexclude_history = true\n'


def test_other_profiles_are_handed_over_with_the_same_bundle(start: Start, tmp_path: Path) -> None:
    """The file is read again: a new generation of the same version answers by what it says, and so does the next."""
    config = tmp_path / "shortlist.toml"
    config.write_text(_profile("feed"))
    with start(config=config, workers=1) as server:
        assert _profiles(server.wait_until_serving()) == ["default", "feed"]
        old = {worker.pid for worker in server.workers()}
        config.write_text(_profile("feed") + _profile("mail") + '[serving]\nfallback_country = "DE"\n')
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"reload: starting \S+v1 with other profiles")
        server.wait_for_log(r"serving on .*tiny/v1 \(reload\)")
        server.wait_for_log("has drained")
        assert _profiles(server) == ["default", "feed", "mail"]
        assert not {worker.pid for worker in server.workers()} & old
        with server.stub() as stub:
            reply = stub.Retrieve(retrieve("ZZ", 5, (7,), profile="mail"))
        assert (reply.profile, reply.country, reply.fallback) == ("mail", "DE", pb.FALLBACK_COUNTRY)
        assert 7 not in {one.item_id for one in reply.candidates}
        server.signal(signal.SIGHUP)
        server.wait_for_log("is already served")
        assert (_reloads(server, "ok"), _reloads(server, "unchanged")) == (1, 1)
        server.generations()[0].kill()
        server.wait_for_log(r"serving on .*tiny/v1 \(restart\)")
        assert _profiles(server) == ["default", "feed", "mail"]


def test_a_bad_settings_file_is_refused_and_the_old_profiles_stay(
    start: Start, publish_version: Publish, tmp_path: Path
) -> None:
    """One line says which key; neither profiles nor bundle change until the file is right again."""
    config = tmp_path / "shortlist.toml"
    config.write_text(_profile("feed"))
    with start(config=config, workers=1) as server:
        server.wait_until_serving()
        publish_version("v2", tiny_content(2))
        config.write_text(_profile("feed").replace("quota", "qouta"))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"reload refused, still serving \S+v1: \S+ unknown key profiles\.feed\.sources\[0\]\.qouta")
        assert (_version(server), _profiles(server)) == ("v1", ["default", "feed"])
        assert _reloads(server, "refused") == 1
        config.write_text(_profile("mail"))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"serving on .*tiny/v2 \(reload\)")
        eventually(lambda: (_version(server), _profiles(server)) == ("v2", ["default", "mail"]))
