"""The processes of one server, from start to end: lobby, workers, signals, deaths."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from load import load, outcomes
from running_server import RunningServer, call_raw, eventually, request

from server import exit_codes
from server.commands.health import HealthError, health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Start = Callable[..., RunningServer]


def _health(channel: grpc.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10, wait_for_ready=True)
    return int(reply.status)


def _is_healthy(channel: grpc.Channel) -> bool:
    try:
        return _health(channel) == SERVING
    except grpc.RpcError:  # the lobby went away under this check
        return False


def _suspend_generation(server: RunningServer) -> psutil.Process:
    """Stop the first generation before it can have loaded anything."""
    (generation,) = eventually(server.generations)
    generation.suspend()
    assert "loaded bundle" not in server.log
    return generation


def test_the_lobby_answers_until_the_bundle_is_warm(start: Start) -> None:
    """Before: health NOT_SERVING and UNAVAILABLE. After: SERVING and answers on the same address, the lobby gone."""
    with start() as server:
        generation = _suspend_generation(server)
        with server.channel() as channel:
            assert _health(channel) == NOT_SERVING
            assert _health(channel, "retrieval.v1.Retrieval") == NOT_SERVING
            with pytest.raises(HealthError, match="NOT_SERVING") as refused:
                health(server.address, "", 10)
            assert refused.value.exit_code == exit_codes.NOT_SERVING
            for method in ("Retrieve", "GetServingInfo"):
                with pytest.raises(grpc.RpcError) as caught:
                    call_raw(channel, b"", method=method)
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
                assert caught.value.details() == "no bundle is being served yet"
            generation.resume()
            server.wait_until_serving()
            eventually(lambda: _is_healthy(channel))
            call_raw(channel, request().SerializeToString())
        eventually(lambda: not server.has_lobby())


def test_the_bundle_is_loaded_once_on_one_thread(start: Start) -> None:
    """Two workers, one load; numpy's libraries may use one thread in every worker."""
    with start() as server:
        server.wait_until_serving()
        assert server.log.count("loaded bundle") == 1
        (generation,) = server.generations()
        workers = server.workers()
        assert len(workers) == 2
        # one of ours, and one that importing onnxruntime starts; numpy would add one per further core
        assert generation.num_threads() <= 2
        for process in (generation, *workers):
            environment = process.environ()
            for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
                assert environment[variable] == "1"


def test_a_killed_worker_is_replaced_while_others_answer(start: Start) -> None:
    """Kill -9 under load: only the victim's connections fail, with UNAVAILABLE, and a new worker takes its seat."""
    with start() as server:
        server.wait_until_serving()
        with load(server) as clients:
            # the other one keeps at least half of the connections
            victim, other = sorted(server.workers(), key=lambda worker: len(worker.net_connections()))
            killed = time.monotonic()
            victim.kill()
            eventually(lambda: len({one.pid for one in server.workers()} - {victim.pid}) == 2)
            replaced_within_s = time.monotonic() - killed
            eventually(lambda: server.metrics()[("shortlist_workers",)] == 2)
            before = [len(client.outcomes) for client in clients]
            eventually(lambda: all(len(c.outcomes) > n + 20 for c, n in zip(clients, before, strict=True)))
        assert replaced_within_s < 1.0
        assert other.is_running()
        assert outcomes(clients) <= {"OK", "UNAVAILABLE"}
        assert any(set(client.outcomes) == {"OK"} for client in clients), "no connection was on the other worker"
        assert server.metrics()[("shortlist_worker_restarts_total",)] == 1
        assert re.search(r"worker \d \(pid \d+\) ended: killed by SIGKILL", server.log)


def test_workers_that_cannot_boot_end_the_start(start: Start) -> None:
    """A few early deaths in a row fail the generation instead of looping."""
    with start(workers=1) as server:
        killed: set[int] = set()

        def kill_new_ones() -> bool:
            for one in server.family():
                with suppress(psutil.NoSuchProcess):  # killed before, and reaped since it was listed
                    if one.ppid() != server.process.pid and one.pid not in killed:
                        one.kill()
                        killed.add(one.pid)
            return server.process.poll() is not None

        eventually(kill_new_ones)
        assert server.wait_for_exit() == exit_codes.FAILED
        assert 3 <= len(killed) <= 5
        assert "workers ended before they served" in server.log


def test_sigterm_drains(start: Start) -> None:
    """Health says NOT_SERVING first, calls go on being answered meanwhile, none fails, and the exit code is 0."""
    with start(drain_delay_s=1.0) as server:
        server.wait_until_serving()
        with server.channel() as channel, load(server) as clients:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            assert next(watch).status == SERVING
            server.signal(signal.SIGTERM)
            assert next(watch).status == NOT_SERVING
            answered = [len(client.versions) for client in clients]
            eventually(lambda: all(len(c.versions) > n + 5 for c, n in zip(clients, answered, strict=True)))
            assert outcomes(clients) == {"OK"}
            assert server.wait_for_exit() == exit_codes.OK
        # A call on its way while the server closes the connection was not begun: gRPC says UNAVAILABLE or, when it
        # met the closing server itself, CANCELLED (grpc/grpc#41785). Afterwards there is nobody to answer.
        assert outcomes(clients) <= {"OK", "UNAVAILABLE", "CANCELLED"}
        for client in clients:
            assert client.outcomes.count("CANCELLED") <= 1
            assert client.outcomes[-1] == "UNAVAILABLE"


def test_every_watcher_hears_of_the_drain(start: Start) -> None:
    """Health watches are told NOT_SERVING even after another watch of the same service has left."""
    with start(workers=1, drain_delay_s=1.0) as server:
        server.wait_until_serving()
        with server.channel() as one, server.channel() as other:
            asked = health_pb2.HealthCheckRequest(service="retrieval.v1.Retrieval")
            leaving, staying = (health_pb2_grpc.HealthStub(channel).Watch(asked) for channel in (one, other))
            assert (next(leaving).status, next(staying).status) == (SERVING, SERVING)
            leaving.cancel()
            assert _health(one) == SERVING
            server.signal(signal.SIGTERM)
            assert next(staying).status == NOT_SERVING


def test_a_second_signal_does_not_wait(start: Start) -> None:
    """Whoever asks twice gets an end at once, drain or not."""
    with start(drain_delay_s=100.0, grace_s=100.0) as server:
        server.wait_until_serving()
        family = server.family()
        server.signal(signal.SIGINT)
        server.wait_for_log("stopping on SIGINT")
        server.signal(signal.SIGINT)
        assert server.wait_for_exit(within_s=20) == exit_codes.OK
        assert not psutil.wait_procs(family, timeout=10)[1]


def test_a_call_that_never_ends_is_cut_off(start: Start) -> None:
    """A stream whose caller says no more is a call in flight for ever: the drain cancels it after grace_s."""
    with start(grace_s=0.5) as server:
        server.wait_until_serving()
        finished = threading.Event()

        def ask_once() -> Iterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            finished.wait()

        with server.channel() as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            answers = stub.ServerReflectionInfo(ask_once())
            assert next(answers).list_services_response.service
            server.signal(signal.SIGTERM)
            assert server.wait_for_exit(within_s=10) == exit_codes.OK
            with pytest.raises(grpc.RpcError):
                list(answers)
            finished.set()


def test_a_drain_does_not_wait_for_watchers(start: Start) -> None:
    """A watcher is told NOT_SERVING, then its call is ended, long before grace_s has passed."""
    with start(workers=1, grace_s=300.0) as server:
        server.wait_until_serving()
        with server.channel() as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            assert next(watch).status == SERVING
            server.signal(signal.SIGTERM)
            assert server.wait_for_exit(within_s=20) == exit_codes.OK
            assert next(watch).status == NOT_SERVING
            with pytest.raises(grpc.RpcError) as caught:
                next(watch)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "this process ends"


def test_nothing_outlives_a_killed_master(start: Start) -> None:
    """Kill -9 of the master ends every process below it, and the port is free again."""
    with start() as server:
        server.wait_until_serving()
        family = server.family()
        assert len(family) >= 3
        server.process.kill()
        assert not psutil.wait_procs(family, timeout=15)[1]


def test_a_lost_generation_is_started_again(start: Start) -> None:
    """Kill -9 of the generation process: its workers end, and the same bundle is served by a new one."""
    with start() as server:
        server.wait_until_serving()
        (generation,) = server.generations()
        orphans = generation.children()
        generation.kill()
        server.wait_for_log(r"serving on .*\(restart\)")
        assert not psutil.wait_procs(orphans, timeout=15)[1]
        with server.channel() as channel:
            call_raw(channel, request().SerializeToString())
        assert generation.pid not in {one.pid for one in server.generations()}


def test_a_missing_bundle_ends_the_start(start: Start) -> None:
    """Nothing published: one line, its own exit code."""
    with start(bundle_name="nothing") as server:
        assert server.wait_for_exit() == exit_codes.BUNDLE_REFUSED
        assert "no bundle to serve: CurrentInvalid (M21)" in server.log


def test_a_damaged_first_bundle_ends_the_start(start: Start, root: Path) -> None:
    """The first bundle is refused: the error is named once, and nothing is tried again."""
    vectors = root / "tiny" / "v1" / "countries" / "FR" / "led" / "vectors.npy"
    raw = bytearray(vectors.read_bytes())
    raw[-1] ^= 1
    vectors.write_bytes(raw)
    with start() as server:
        assert server.wait_for_exit() == exit_codes.BUNDLE_REFUSED
        assert server.log.count("ChecksumMismatch (M10)") == 1
        assert server.log.count("loading ") == 1
        assert "Traceback" not in server.log


def test_a_start_takes_no_longer_than_it_may(start: Start) -> None:
    """A first bundle that is not ready in time ends the start with its own exit code."""
    with start(start_timeout_s=1.0) as server:
        _suspend_generation(server)
        assert server.wait_for_exit() == exit_codes.START_TIMEOUT
        assert "not ready within start_timeout_s = 1 s" in server.log


@pytest.mark.parametrize("setting", ["port", "metrics_port"])
def test_a_taken_port_is_a_clear_error(start: Start, setting: str) -> None:
    """A stranger on the port ends the start with its own exit code."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with start(**{setting: port}) as server:
            assert server.wait_for_exit() == exit_codes.PORT_TAKEN
            assert f"cannot listen on 127.0.0.1:{port}" in server.log


def test_a_second_server_does_not_share_the_port(server: RunningServer, start: Start) -> None:
    """SO_REUSEPORT would let two servers split the connections; the second is refused instead."""
    port = int(server.address.rpartition(":")[2])
    with start(port=port) as second:
        assert second.wait_for_exit() == exit_codes.PORT_TAKEN


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1", "::"])  # noqa: S104 - what operators write
def test_it_listens_where_it_is_told(start: Start, host: str) -> None:
    """Names, wildcards and IPv6, for calls and for metrics."""
    with start(workers=1, host=host, metrics_host=host) as server:
        server.wait_until_serving()
        with server.stub() as stub:
            stub.Retrieve(request())
        assert server.metrics()[("shortlist_workers",)] == 1


def test_json_logs_are_one_object_per_line(start: Start) -> None:
    """Every process writes JSON with its role when asked to."""
    with start(log_format="json", metrics_port=-1) as server:
        server.wait_until_serving()
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit() == exit_codes.OK
        lines = [json.loads(line) for line in server.log.splitlines()]
    assert {"master", "generation"} <= {line["role"] for line in lines}
    assert all({"time", "level", "pid", "message"} <= line.keys() for line in lines)
