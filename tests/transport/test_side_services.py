"""Health and reflection: by grpcio itself on one transport, forwarded to it on the other."""

import signal
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from h2_client import H2Client
from toy_process import RETRIEVE, SETTINGS, Run, Start, ToyServer, ask

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.mark.parametrize("service", ["", "retrieval.v1.Retrieval"])
def test_health_is_checked(server: ToyServer, service: str) -> None:
    """SERVING overall and for the service."""
    with server.channel() as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert reply.status == SERVING


def test_health_by_plain_http2(server: ToyServer) -> None:
    """A probe that is not grpcio gets the same bytes."""
    with H2Client(server.port) as client:
        stream = client.call("/grpc.health.v1.Health/Check", b"")
    assert health_pb2.HealthCheckResponse.FromString(stream.message).status == SERVING


def test_health_of_a_stranger(server: ToyServer) -> None:
    """Check says NOT_FOUND, Watch says SERVICE_UNKNOWN and goes on."""
    asked = health_pb2.HealthCheckRequest(service="nobody")
    with server.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(asked, timeout=10)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "unknown service")
        watch = stub.Watch(asked)
        assert next(watch).status == SERVICE_UNKNOWN
        assert watch.is_active()
        watch.cancel()


def test_health_is_checked_while_a_call_is_worked_on(server: ToyServer) -> None:
    """A long call holds the native transport's thread and not its health; grpcio has one thread for both."""
    with server.held(), server.channel() as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        asked = health_pb2.HealthCheckRequest()
        if server.transport == "native":
            assert check(asked, timeout=10).status == SERVING
        else:
            with pytest.raises(grpc.RpcError) as caught:
                check(asked, timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_watchers_hear_of_the_end(start: Start, run: Run) -> None:
    """After SIGTERM a watch says NOT_SERVING while calls are answered, and then ends with UNAVAILABLE."""

    async def watch_it(server: ToyServer) -> tuple[list[int], str]:
        async with grpc.aio.insecure_channel(server.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            seen = [(await watch.read()).status]
            server.process.send_signal(signal.SIGTERM)
            seen.append((await watch.read()).status)
            await channel.unary_unary(RETRIEVE)(ask(), timeout=10)
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE
            return seen, await watch.details()

    with start(settings=replace(SETTINGS, drain_delay_s=0.5, grace_s=60.0)) as server:
        seen, text = run(watch_it(server))
        assert server.process.wait(10) == 0
    assert (seen, text) == ([SERVING, NOT_SERVING], "this process ends")


def test_reflection_lists_the_services(server: ToyServer) -> None:
    """What a tool like grpcurl asks: the services, and the file that defines one."""
    names = ("retrieval.v1.Retrieval", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
    with server.channel() as channel:
        ask_it = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=names[0]),
        ]
        listed, found = ask_it(iter(questions), timeout=10)
    assert {one.name for one in listed.list_services_response.service} == set(names)
    assert b"retrieval" in found.file_descriptor_response.file_descriptor_proto[0]
