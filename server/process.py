"""What every process of the server needs from the operating system. Linux only, and no gRPC, numpy or index here."""

import ctypes
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, MutableMapping
from pathlib import Path

from server import exit_codes

HURRY = signal.SIGUSR1
"""Tells a generation that drains to end at once. Not a second SIGTERM: two that wait are delivered as one."""

COMM_PREFIX = "sl-"
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_LOWEST = 19
_HUGE_PAGES = "glibc.malloc.hugetlb"
_LOG = logging.getLogger(__name__)
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class PortTakenError(Exception):
    """The operator's fault: the address to listen on belongs to another process, or is none of this machine's."""


def pin_math_threads(env: MutableMapping[str, str]) -> None:
    """Give numpy's libraries one thread per process, unless `env` says otherwise.

    Every worker has one core; a pool in each would only fight over them. The libraries read this when they are
    loaded, so it must be in the environment before a process imports numpy: the master sets it in its own, and the
    processes that load a bundle are started afresh with it.
    """
    for variable in _THREAD_VARIABLES:
        env.setdefault(variable, "1")


def use_huge_pages(env: MutableMapping[str, str]) -> None:
    """Let glibc ask for huge pages for what it allocates, unless `env` says otherwise: indices are read all over.

    glibc 2.35 and later read this when a process starts, others ignore it; the kernel grants it where transparent huge
    pages are not off.
    """
    tunables = [each for each in env.get("GLIBC_TUNABLES", "").split(":") if each]
    if not any(each.startswith(_HUGE_PAGES) for each in tunables):
        env["GLIBC_TUNABLES"] = ":".join([*tunables, f"{_HUGE_PAGES}=1"])


def die_with_parent(parent: int) -> None:
    """Get SIGTERM when the process `parent` ends, at once if it already has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def name_process(role: str) -> None:
    """Call this process `sl-<role>` in `ps -o comm`, `top` and the metrics; the kernel keeps 15 characters."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"{COMM_PREFIX}{role}".encode())


def work_when_idle() -> None:
    """Let this process have the processor only when nobody else wants it; where that is refused, go on as it is."""
    for lower in (lambda: os.nice(_LOWEST), lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))):
        try:
            lower()
        except OSError as error:
            _LOG.debug("priority stays as it is: %s", error)


def reserve_port(host: str, port: int) -> socket.socket:
    """Bind `host:port` without listening, so that workers can share it with SO_REUSEPORT; port 0 is resolved here.

    The first, exclusive bind finds a stranger on the port: with SO_REUSEPORT alone, a second server of the same user
    would silently get half of the connections.
    """
    try:
        return _reserve(host, port)
    except (OSError, ValueError) as error:  # ValueError: no name for the resolver
        message = f"cannot listen on {address_of(host, port)}: {getattr(error, 'strerror', None) or error}"
        raise PortTakenError(message) from error


def _reserve(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind, protocol)
    try:
        if port:
            with socket.socket(family, kind, protocol) as probe:
                # connections of an earlier run in TIME_WAIT are no strangers
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError:
        reserved.close()
        raise
    return reserved


def address_of(host: str, port: int) -> str:
    """Write `host:port` as gRPC and people do, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def stop_listening(address: str) -> None:
    """Take this process's listeners on `address` out of the port, leaving its connections alone.

    grpc.aio can only close listeners and tell clients to go in one step (`stop`). A client that goes at once may then
    come back to a sibling that is about to close as well, and waits for a back-off of a second. So listeners go
    first: an idle socket takes the place of each, which closes it, and gRPC closes the idle one when it stops.
    """
    port = int(address.rpartition(":")[2])
    for link in Path("/proc/self/fd").iterdir():
        descriptor = int(link.name)
        if _listens_on(descriptor, port):
            with socket.socket() as idle:
                os.dup2(idle.fileno(), descriptor, inheritable=False)


def _listens_on(descriptor: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
    except OSError:  # the descriptor that listed the folder is gone
        return False
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        return bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and copy.getsockname()[1] == port


def describe_exit(status: int) -> str:
    """Put an exit status in words; negative is a signal."""
    if status < 0:
        # most real-time signals have no name
        named = -status in set(signal.Signals)
        return f"killed by {signal.Signals(-status).name if named else f'signal {-status}'}"
    meaning = exit_codes.meaning(status)
    return f"exit code {status}" + (f" ({meaning})" if meaning else "")


class SignalQueue:
    """Records signals for a loop to handle: the handler does nothing else. `descriptor` becomes readable with one."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._signals = signals
        self._arrived: list[signal.Signals] = []
        self._reader, self._writer = socket.socketpair()

    @property
    def descriptor(self) -> int:
        """What to wait for."""
        return self._reader.fileno()

    def install(self) -> None:
        """Begin to record."""
        self._reader.settimeout(0)
        self._writer.settimeout(0)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, self._record)

    def take(self) -> list[signal.Signals]:
        """Give what has arrived since the last call, oldest first."""
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            pass
        arrived, self._arrived = self._arrived, []
        return arrived

    def _record(self, number: int, _frame: object) -> None:
        self._arrived.append(signal.Signals(number))

    def fork(self, child: Callable[[], int]) -> int:
        """Fork; run `child` and end with its exit code in the new process, return its pid in this one.

        Signals are held back meanwhile: one that reached the new process before it forgot these handlers would be
        recorded in a queue that nobody reads.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in self._signals:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
            code = child()
        except BaseException:
            _LOG.exception("a forked process failed")
        finally:
            # never back into the parent's code, and no clean-up of what it owns
            os._exit(code)
