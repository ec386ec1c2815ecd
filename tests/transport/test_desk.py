"""Calls answered together end as each would alone: any mix of groups, faults and sizes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.board import Board
from server.desk import Desk
from server.metrics import CODES, METHODS
from server.native.call import Call, deadline_of
from server.observe import Observer
from server.refusals import UnknownCountryError
from server.transport import Many, Served, choose
from server.worker_metrics import WorkerMetrics

# group and value; "x" cannot be decoded, "u" cannot be answered, "e" cannot be encoded
REQUESTS = st.lists(st.tuples(st.sampled_from("abuex"), st.integers(0, 99)), max_size=60)
Ending = tuple[str, object]


@dataclass
class FakeFront:
    """Remembers how calls were ended, in order."""

    endings: list[tuple[int, Ending]] = field(default_factory=list)

    def respond(self, call_id: int, payload: bytes) -> bool:
        """Note a reply."""
        self.endings.append((call_id, ("OK", payload)))
        return True

    def fail(self, call_id: int, code: int, message: str, trailing_metadata: object = None) -> bool:
        """Note a status."""
        self.endings.append((call_id, (CODES[code], (message, trailing_metadata))))
        return True


class Doubler:
    """Replies with twice the value; `short` makes its answers for groups one too few."""

    def __init__(self, *, short: bool = False) -> None:
        self.groups: list[int] = []
        self._short = short

    def decode(self, raw: bytes) -> tuple[str, int]:
        """Read `<group><value>`."""
        group = raw[:1].decode()
        if group == "x":
            raise UnknownCountryError(group, [])
        return group, int(raw[1:])

    def call(self, request: tuple[str, int]) -> int:
        """Answer one."""
        if request[0] == "u":
            raise UnknownCountryError(request[0], [])
        return 2 * request[1]

    def call_many(self, requests: Sequence[tuple[str, int]]) -> list[int]:
        """Answer several of one group."""
        assert len({group for group, _ in requests}) == 1
        self.groups.append(len(requests))
        return [self.call(request) for request in requests][self._short :]

    def encode(self, request: tuple[str, int], answer: int) -> bytes:
        """Write the answer."""
        if request[0] == "e":
            raise UnknownCountryError(request[0], [])
        return str(answer).encode()


def _end_all(
    requests: list[tuple[str, int]], *, together: bool, short: bool = False
) -> tuple[dict[int, Ending], list[int], Doubler]:
    """Answer all at once; the ending of each call, the counts by status, and what worked."""
    front, board, rpc = FakeFront(), Board.create(1), Doubler(short=short)
    many = Many(lambda request: request[0], rpc.call_many) if together else None
    observer = Observer(WorkerMetrics(board.slot(0)))
    desk = Desk(Served("Retrieve", rpc, None, many), observer)
    far = deadline_of(None, 0)
    raws = [f"{group}{value}".encode() for group, value in requests]
    desk.answer([Call(front, number, raw, far) for number, raw in enumerate(raws)])
    assert sorted(number for number, _ in front.endings) == list(range(len(requests))), "not ended exactly once"
    observer.publish()
    return dict(front.endings), board.totals()[: len(METHODS) * (1 + len(CODES))], rpc


@given(REQUESTS, st.booleans())
def test_together_is_as_alone(requests: list[tuple[str, int]], short: bool) -> None:  # noqa: FBT001 - drawn
    """Every call is ended once, as it would be alone, and counted so; also when a group's answers do not fit."""
    alone, counts, _ = _end_all(requests, together=False)
    found, found_counts, _ = _end_all(requests, together=True, short=short)
    assert found == alone
    assert found_counts == counts


@given(REQUESTS)
def test_groups_share_their_work(requests: list[tuple[str, int]]) -> None:
    """No group is larger than 16, none is of one call, and as few as possible are made."""
    rpc = _end_all(requests, together=True)[2]
    expected: list[int] = []
    for name in "abue":
        size = sum(group == name for group, _ in requests)
        expected += [16] * (size // 16) + ([size % 16] if size % 16 > 1 else [])
    assert sorted(rpc.groups) == sorted(expected)


def test_a_deadline_that_passes_meanwhile_is_not_worked_on() -> None:
    """Of 17 calls the first 16 make a group that lasts; the last call's deadline passes before it is its turn."""
    front, rpc, soon = FakeFront(), Doubler(), time.perf_counter_ns() + 20_000_000

    def last(requests: Sequence[tuple[str, int]]) -> list[int]:
        while time.perf_counter_ns() <= soon:
            pass
        return rpc.call_many(requests)

    many = Many(lambda request: request[0], last)
    desk = Desk(Served("Retrieve", rpc, None, many), Observer(WorkerMetrics(Board.create(1).slot(0))))
    deadlines = [deadline_of(None, 0)] * 16 + [soon]
    desk.answer([Call(front, number, b"a1", deadline) for number, deadline in enumerate(deadlines)])
    assert [code for _, (code, _) in sorted(front.endings)] == ["OK"] * 16 + ["DEADLINE_EXCEEDED"]


@given(st.floats(-1, 1e6), st.integers(0, 2**60))
def test_a_deadline_is_put_on_our_clock(remaining_s: float, now_ns: int) -> None:
    """To the microsecond; a call without a deadline has one that never comes."""
    assert abs(deadline_of(((), "", remaining_s), now_ns) - now_ns - remaining_s * 1e9) < 1000
    assert deadline_of(((), "", None), now_ns) > now_ns + 10**18


@pytest.mark.parametrize(
    ("setting", "installed", "expected"),
    [
        ("grpcio", True, "grpcio"),
        ("native", False, "native"),
        ("auto", True, "native"),
        ("auto", False, "grpcio"),
    ],
)
def test_the_setting_chooses(monkeypatch: pytest.MonkeyPatch, setting: str, installed: bool, expected: str) -> None:  # noqa: FBT001 - a parameter
    """Auto means native where its package is; what is asked for by name is not replaced."""
    monkeypatch.setattr("server.transport.find_spec", lambda name: name == "pygrpc_native" if installed else None)
    assert choose(setting) == expected
