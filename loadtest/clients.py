"""`python -m loadtest.clients`: what a call costs the client that sends it, ours beside others, against a no-op server.

The load client shares the cores of the server, so the cheapest real one is wanted. h2load (nghttp2-client) is C++ and
the yardstick: it sends one request over and over, and does not look at gRPC's status.
"""

import asyncio
import json
import resource
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import grpc.aio
import numpy as np
import typer

from loadtest.drive import Target, closed_loop, open_loop
from loadtest.floor import floor_server
from loadtest.scenario import METHOD

_CONNECTIONS, _IN_FLIGHT = 16, 32
_MICRO = 1e6


def main(
    transport: Annotated[str, typer.Option(help="Of the server: native or grpcio.")] = "native",
    calls: Annotated[int, typer.Option(help="Calls of one run.")] = 20_000,
    runs: Annotated[int, typer.Option(help="Runs of each client, in turns; medians are printed.")] = 3,
) -> None:
    """Print microseconds of client CPU per call as one JSON object."""
    clients: dict[str, Callable[[Target, int], float]] = {
        "loadtest.drive, closed loop": _ours,
        "loadtest.drive, open loop at 2,000/s": _ours_open,
        "grpc.aio": _grpc_aio,
    }
    if shutil.which("h2load"):
        clients["h2load"] = _h2load
    spent: dict[str, list[float]] = {name: [] for name in clients}
    with floor_server(transport) as target:
        for _ in range(runs):
            for name, client in clients.items():
                spent[name].append(client(target, calls))
    typer.echo(json.dumps({name: round(float(np.median(each)), 1) for name, each in spent.items()}))


def _ours(target: Target, calls: int) -> float:
    return closed_loop(target, seconds=60, calls=calls, warm_up_s=0.2).client_cpu_us


def _ours_open(target: Target, calls: int) -> float:
    return open_loop(target, rate=2_000, seconds=calls / 10_000, warm_up_s=0.2).client_cpu_us


def _grpc_aio(target: Target, calls: int) -> float:
    return asyncio.run(_by_grpc_aio(target, calls // 4))


async def _by_grpc_aio(target: Target, calls: int) -> float:
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target.address, options=options) for _ in range(_CONNECTIONS)]
    methods: list[Any] = [channel.unary_unary(METHOD) for channel in channels] * (_IN_FLIGHT // _CONNECTIONS)

    async def one(number: int) -> None:
        for _ in range(calls // _IN_FLIGHT):
            await methods[number](target.payloads[0], timeout=5)

    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    start = time.process_time()
    await asyncio.gather(*(one(number) for number in range(_IN_FLIGHT)))
    spent = time.process_time() - start
    await asyncio.gather(*(channel.close() for channel in channels))
    return spent / (calls // _IN_FLIGHT * _IN_FLIGHT) * _MICRO


def _h2load(target: Target, calls: int) -> float:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(struct.pack(">BI", 0, len(target.payloads[0])) + target.payloads[0])
        command = ["h2load", "-n", str(calls), "-c", str(_CONNECTIONS), "-m", str(_IN_FLIGHT // _CONNECTIONS)]
        command += ["-d", file.name, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, f"http://{target.address}{METHOD}"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / calls * _MICRO


if __name__ == "__main__":
    typer.run(main)
