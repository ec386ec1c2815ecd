"""Starts other people's servers, waits until they answer, and ends them: those, and nothing else."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.cpu import tree
from loadtest.drive import Target, ask_each
from loadtest.h2 import ServerGoneError
from loadtest.peers.job import Job
from loadtest.peers.peer import UnavailableError, Wire

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 20.0
_SHOWN = 15

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def started(
    command: Sequence[object],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command from the project's root until the context ends; its output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **SINGLE_THREADED, "PYTHONPATH": str(ROOT), **(env or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - commands of this bench
            [str(part) for part in command], stdout=output, stderr=output, cwd=ROOT, env=environment,
            user=user, group=user and _group_of(user), extra_groups=[] if user else None,
        )  # fmt: skip
    try:
        yield process
    finally:
        _end(process, stop)


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - not on every system

    return pwd.getpwnam(user).pw_gid


def _end(process: "subprocess.Popen[bytes]", stop: signal.Signals) -> None:
    """Ask it to stop, then end what is left of its tree."""
    family = tree(process.pid)
    if process.poll() is None:
        process.send_signal(stop)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in family[1:]:
        _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(
    what: str, ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, *, seconds: float = 60.0
) -> None:
    """Ask `ready` until it says so; UnavailableError with the log's end if the process ends or time is over."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            state = f"no answer within {seconds:g} s" if process.poll() is None else f"exit code {process.returncode}"
            shown = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN:])
            message = f"{what} did not start ({state}):\n{shown}"
            raise UnavailableError(message)
        time.sleep(0.1)


def answers(address: str, wire: Wire, job: Job) -> Callable[[], bool]:
    """Make a check for `wait_for`: whether a real call is answered."""
    payloads = wire.encode(job, [0])

    def ready() -> bool:
        try:
            return ask_each(Target(address, wire.method, payloads, deadline_s=30.0))[0][0] == "OK"
        except (ServerGoneError, TimeoutError, ConnectionError):
            return False

    return ready


def free_port() -> int:
    """Find a TCP port on the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run(command: Sequence[object], *, check: bool = True, shown: bool = False, user: str | None = None) -> str:
    """Run a command to its end; gives what it printed, or lets it print (`shown`). UnavailableError if it fails."""
    done = subprocess.run(  # noqa: S603 - commands of this bench
        [str(part) for part in command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=False,
        stdout=None if shown else subprocess.PIPE, stderr=None if shown else subprocess.PIPE,
        user=user, group=user and _group_of(user), extra_groups=[] if user else None,
    )  # fmt: skip
    if check and done.returncode:
        message = f"{Path(str(command[0])).name} failed with exit code {done.returncode}:\n{done.stderr or ''}"
        raise UnavailableError(message)
    return done.stdout or ""
