"""Starts the real server as a user would, and waits for what it says instead of sleeping."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SERVING = re.compile(r"serving on (\S+): .*metrics (\S+)")
PYTHON = sys.executable
SHORTLIST = str(Path(sys.executable).parent / "shortlist")


class ServerProcess:
    """A running `shortlist serve`: its addresses, its log so far, and a way to wait for a line of it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, timeout_s: float = 60, *, after: int = 0) -> re.Match[str]:
        """The first log line from line `after` on that matches; fails with the whole log if none comes."""
        compiled = re.compile(pattern)
        with self._changed:
            found: list[re.Match[str]] = []

            def seen() -> bool:
                found.extend(match for line in self.lines[after:] if (match := compiled.search(line)))
                return bool(found) or self._ended

            self._changed.wait_for(seen, timeout_s)
            if not found:
                message = f"no line with {pattern!r} within {timeout_s} s:\n" + "\n".join(self.lines)
                raise AssertionError(message)
            return found[0]

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM, then wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """End it whatever its state, and its reader with it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def serving(
    arguments: Sequence[str],
    timeout_s: float = 60,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[ServerProcess, str, str]]:
    """Run `shortlist serve ARGUMENTS` until it says that it serves; gives it, its gRPC address and its metrics URL."""
    command = [SHORTLIST, "serve", "--port", "0", "--metrics-port", "0", "--inspector-port", "-1", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=env)
    server = ServerProcess(process)
    try:
        match = server.wait_for(_SERVING.pattern, timeout_s)
        yield server, match[1], match[2]
    finally:
        server.stop()
        server.close()
