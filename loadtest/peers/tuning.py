"""Makes peers comparable: for each target the cheapest setting whose recall, asked over the wire, reaches it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtest.drive import Target, closed_loop
from loadtest.peers.job import JUDGED
from loadtest.peers.peer import Peer, Place, Variant
from loadtest.peers.recall import recall_of

TRY_S = 3.0
"""How long each choice is loaded to see which does most calls."""


@dataclass(frozen=True)
class Setting:
    """How a peer meets a target. `reached`: whether the recall is at the target or above it.

    `rate`: calls per second when it was tried. `curve`: recall by effort, of this variant.
    """

    target: float
    variant: str
    knob: str
    effort: int
    recall: float
    reached: bool
    choice: Mapping[str, Any]
    rate: float
    curve: Mapping[int, float]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON's types."""
        return asdict(self)


Note = Callable[[str], None]


def tune(peer: Peer, place: Place, targets: Sequence[float], note: Note) -> Sequence[Setting]:
    """Give one setting per target: of the variants that reach it the one with the most calls per second.

    Where none does: the one with the highest recall.
    """
    found = [each for variant in peer.variants(place) for each in _of_variant(peer, place, variant, targets, note)]
    return [
        max(
            (each for each in found if each.target == target),
            key=lambda each: (each.reached, each.rate if each.reached else each.recall),
        )
        for target in targets
    ]


def _of_variant(peer: Peer, place: Place, variant: Variant, targets: Sequence[float], note: Note) -> Sequence[Setting]:
    with peer.store(place, variant) as store:
        trial = _Trial(peer, place, variant, store, note)
        settings: list[Setting] = []
        for target in sorted(targets, reverse=True):
            effort = smallest_reaching(variant.efforts, trial.recall, target)
            # the order of the choices hardly depends on the effort: all are tried once
            choices = [settings[0].choice] if settings else variant.choices
            rate, choice = max(((trial.rate(effort, each), each) for each in choices), key=lambda each: each[0])
            recall = trial.recall(effort)
            settings.append(
                Setting(target, variant.name, variant.knob, effort, recall, recall >= target, choice, rate, trial.curve)
            )
    return settings


@dataclass
class _Trial:
    """A variant with its store running. `curve`: recall by effort, each measured once."""

    peer: Peer
    place: Place
    variant: Variant
    store: Any
    note: Note
    curve: dict[int, float] = field(default_factory=dict)

    def recall(self, effort: int) -> float:
        """Ask the judged users."""
        if effort not in self.curve:
            with self.peer.serve(self.place, self.variant, self.store, effort, self.variant.choices[0]) as serving:
                found = recall_of(self.place.job, self.peer.wire_in(self.place), serving, range(JUDGED))
            self.curve[effort] = found
            self.note(f"{self.variant.name}, {self.variant.knob} {effort}: recall {found:.4f}")
        return self.curve[effort]

    def rate(self, effort: int, choice: Mapping[str, Any]) -> float:
        """Load it for a moment: calls per second."""
        wire = self.peer.wire_in(self.place)
        with self.peer.serve(self.place, self.variant, self.store, effort, choice) as serving:
            payloads = wire.encode(self.place.job, range(JUDGED))
            loaded = closed_loop(Target(serving.address, wire.method, payloads, deadline_s=60.0), seconds=TRY_S)
        found = loaded.achieved_rate
        chosen = ", ".join(f"{name} {value}" for name, value in choice.items())
        self.note(f"{self.variant.name}, {self.variant.knob} {effort}, {chosen}: {found:,.0f} calls a second")
        return found


def smallest_reaching(efforts: Sequence[int], recall: Callable[[int], float], target: float) -> int:
    """Bisect rising `efforts` for the first whose recall is at least `target`; the last one if none is."""
    low, high = 0, len(efforts) - 1
    while low < high:
        middle = (low + high) // 2
        if recall(efforts[middle]) >= target:
            high = middle
        else:
            low = middle + 1
    return efforts[low]
