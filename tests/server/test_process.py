"""What processes need from the operating system, and what they tell each other."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.exporter import Exporter
from server.plan import GenerationPlan, LobbyPlan, decode_plan, encode_plan
from server.process import PortTakenError, address_of, pin_math_threads, reserve_port, stop_listening, use_huge_pages
from server.reports import (
    CountryReport,
    Failed,
    IndexReport,
    Ready,
    Refused,
    Report,
    ReportReader,
    WorkerLost,
    Workers,
    send,
)
from server.settings import load_settings

REPORTS: list[Report] = [
    Ready("b", "v1", "1.0", 12, (CountryReport("FR", 3, (IndexReport("led", "", "exact", 1.0),)),)),
    Refused("ChecksumMismatch (M10): é\nsecond line"),
    Failed("no"),
    WorkerLost(1, 2, "killed by SIGKILL"),
    Workers(2),
]


def test_the_master_imports_no_grpc_and_no_index() -> None:
    """The supervisor stays small, and nothing in it can break a fork or a signal."""
    code = (
        "import sys, server.commands.serve\n"
        "bad = {'grpc', 'google.protobuf', 'numpy', 'onnxruntime', 'hnswlib'} & sys.modules.keys()\n"
        "sys.exit(', '.join(bad) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])


def test_the_generation_imports_no_grpc() -> None:
    """It forks, and gRPC must be imported after that."""
    code = "import sys, server.generation; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])


def test_math_threads_are_pinned_unless_told_otherwise() -> None:
    """Only what is not set is set."""
    env = {"OMP_NUM_THREADS": "4"}
    pin_math_threads(env)
    assert env == {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def test_huge_pages_are_asked_for_unless_told_otherwise() -> None:
    """Other tunables are kept, and so is the operator's own choice."""
    found = []
    for given in ({}, {"GLIBC_TUNABLES": "glibc.malloc.perturb=3"}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}):
        use_huge_pages(given)
        found.append(given["GLIBC_TUNABLES"])
    one = "glibc.malloc.hugetlb=1"
    assert found == [one, f"glibc.malloc.perturb=3:{one}", "glibc.malloc.hugetlb=0"]


@pytest.mark.skipif(
    "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(), reason="the kernel grants none"
)
def test_an_index_lies_on_huge_pages() -> None:
    """What a process started so allocates is backed by them, as the kernel's own account says."""
    env = dict(os.environ)
    use_huge_pages(env)
    code = (
        "import re; kept = bytes(64 << 20); kept = bytearray(kept); text = open('/proc/self/smaps').read();"
        "print(sum(map(int, re.findall(r'AnonHugePages:\\s+(\\d+)', text))))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True)
    assert int(done.stdout) >= 32 << 10


def test_a_reserved_port_can_be_shared_but_not_taken() -> None:
    """Workers bind it too; a second reservation finds it taken."""
    with reserve_port("127.0.0.1", 0) as reserved:
        port = reserved.getsockname()[1]
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
            with pytest.raises(PortTakenError, match=f"cannot listen on 127.0.0.1:{port}"):
                reserve_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    """192.0.2.0/24 belongs to nobody (RFC 5737)."""
    with pytest.raises(PortTakenError, match=r"cannot listen on 192\.0\.2\.1:0"):
        reserve_port("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["fe80::1%nosuch", f"::1%{'x' * 80}"])
def test_a_host_without_an_address_is_refused(host: str) -> None:
    """What the resolver says of it is one line, whatever kind of error it raises."""
    with pytest.raises(PortTakenError, match="cannot listen on "):
        reserve_port(host, 0)
    with pytest.raises(PortTakenError, match="for metrics: "):
        Exporter(CollectorRegistry(), host, 0).start()


def test_listeners_go_and_connections_stay() -> None:
    """After stop_listening the port refuses new connections, the old one works, and others' ports are untouched."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        address = listener.getsockname()
        with socket.create_connection(address) as client, listener.accept()[0] as connection:
            stop_listening(address_of(*address))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            client.sendall(b"still there")
            assert connection.recv(100) == b"still there"
            socket.create_connection(other.getsockname()).close()


def test_ipv6_addresses_are_bracketed() -> None:
    """As gRPC and people write them."""
    assert (address_of("::1", 5), address_of("127.0.0.1", 5)) == ("[::1]:5", "127.0.0.1:5")


def test_reports_arrive_whole_and_in_order() -> None:
    """Reading never blocks, keeps half a line for later, and sees the end."""
    read_end, write_end = os.pipe()
    reader = ReportReader(read_end)
    assert reader.read() == ([], False)
    for report in REPORTS:
        send(write_end, report)
    os.write(write_end, b'{"type":"fai')
    assert reader.read() == (REPORTS, False)
    os.write(write_end, b'led","message":"late"}\n')
    os.close(write_end)
    assert reader.read() == ([Failed("late")], True)
    reader.close()


def test_a_report_to_a_dead_parent_is_dropped() -> None:
    """The child ends by itself; a broken pipe must not hide why."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    send(write_end, Failed("nobody listens"))
    os.close(write_end)


def test_plans_survive_the_command_line() -> None:
    """What a child reads is what the master wrote."""
    settings = load_settings(None, {"SHORTLIST_MAX_K": "7"}, {"bundle_root": "/é"})
    lobby = LobbyPlan(settings, 1, "127.0.0.1:5")
    generation = GenerationPlan(settings, 1, "127.0.0.1:5", Path("/x/é"), 3, 4, 5, 6)
    assert decode_plan(encode_plan(lobby), LobbyPlan) == lobby
    assert decode_plan(encode_plan(generation), GenerationPlan) == generation
