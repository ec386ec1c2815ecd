"""Fusion against sums over dictionaries: scores, sources, order, and what fusing again changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.fusion import Fused, Ranked, fuse
from server.profiles import FusionName

FUSIONS: list[FusionName] = ["reciprocal_rank", "weighted", "quota", "single"]


def ranked(rows: list[int], scores: list[float] | None = None, weight: float = 1.0, quota: int = 100) -> Ranked:
    """A list; without scores they fall by one."""
    falling = scores if scores is not None else list(range(len(rows), 0, -1))
    return Ranked(np.array(rows, dtype=np.int64), np.array(falling, dtype=np.float32), weight, quota)


@st.composite
def lists(draw: st.DrawFn) -> list[Ranked]:
    """Up to six sources with few different rows, so that they overlap, and few different scores, so that they tie."""
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        rows = draw(st.lists(st.integers(0, 30), unique=True, max_size=20))
        scores = sorted(draw(st.lists(st.integers(-4, 4), min_size=len(rows), max_size=len(rows))), reverse=True)
        quota = draw(st.integers(1, 8))
        drawn.append(ranked(rows, [score / 4 for score in scores], draw(st.sampled_from([0.5, 1.0, 3.0])), quota))
    return drawn


def naive_sums(sources: list[Ranked], fusion: FusionName) -> dict[int, float]:
    """Each row's sum by definition."""
    sums: dict[int, float] = {}
    for each in sources:
        low, high = (float(each.scores[-1]), float(each.scores[0])) if len(each.rows) else (0.0, 0.0)
        for rank, (row, score) in enumerate(zip(each.rows.tolist(), each.scores.tolist(), strict=True), 1):
            calibrated = (score - low) / (high - low) if high > low else 1.0
            value = 1 / (60 + rank) if fusion == "reciprocal_rank" else calibrated
            sums[row] = sums.get(row, 0.0) + each.weight * value
    return sums


def naive_turns(sources: list[Ranked]) -> list[int]:
    """Sources take turns within their quotas; a turn whose row is taken passes; then the same with what is left."""
    order: list[int] = []
    for within in (True, False):
        for turn in range(30):
            for each in sources:
                if turn < len(each.rows) and (turn < each.quota) == within and int(each.rows[turn]) not in order:
                    order.append(int(each.rows[turn]))
    return order


def check_masks(fused: Fused, sources: list[Ranked]) -> None:
    """Bit b is set where source b has the row."""
    for row, mask in zip(fused.rows.tolist(), fused.masks.tolist(), strict=True):
        assert mask == sum(1 << bit for bit, each in enumerate(sources) if row in each.rows)


@pytest.mark.parametrize("fusion", ["reciprocal_rank", "weighted"])
@settings(max_examples=250)
@given(sources=lists())
def test_scores_are_the_sums(fusion: FusionName, sources: list[Ranked]) -> None:
    """Every row once, with its sum, best first; of equal sums the better rank, then the lower row."""
    fused = fuse(sources, fusion)
    sums = naive_sums(sources, fusion)
    assert sorted(fused.rows.tolist()) == sorted(sums)
    assert fused.scores.tolist() == pytest.approx([sums[row] for row in fused.rows.tolist()], abs=1e-6)
    ranks = {row: min(each.rows.tolist().index(row) for each in sources if row in each.rows) for row in sums}
    keys = [(-score, ranks[row], row) for row, score in zip(fused.rows.tolist(), fused.scores.tolist(), strict=True)]
    assert keys == sorted(keys)
    check_masks(fused, sources)


@settings(max_examples=250)
@given(sources=lists())
def test_quotas_take_turns(sources: list[Ranked]) -> None:
    """Round-robin within the quotas, then the same with the rest; duplicates pass."""
    fused = fuse(sources, "quota")
    filled = [each for each in sources if len(each.rows)]
    assert fused.rows.tolist() == (naive_turns(filled) if len(filled) != 1 else filled[0].rows.tolist())
    assert (np.diff(fused.scores) < 0).all()
    check_masks(fused, sources)


@settings(max_examples=150)
@given(sources=lists())
def test_a_single_source_keeps_its_order_and_scores(sources: list[Ranked]) -> None:
    """The first that found anything leads; the others fill up in turns, with its last score."""
    fused = fuse(sources, "single")
    filled = [each for each in sources if len(each.rows)]
    if not filled:
        assert not len(fused.rows)
        return
    leader, others = filled[0], [Ranked(each.rows, each.scores, 1.0, 99) for each in filled[1:]]
    rest = [row for row in naive_turns(others) if row not in leader.rows]
    assert fused.rows.tolist() == [*leader.rows.tolist(), *rest]
    assert fused.scores.tolist() == [*leader.scores.tolist(), *[float(leader.scores[-1])] * len(rest)]
    check_masks(fused, sources)


@pytest.mark.parametrize("fusion", FUSIONS)
@settings(max_examples=150)
@given(sources=lists(), weight=st.sampled_from([0.5, 1.0, 2.0]))
def test_fusing_again_changes_nothing(fusion: FusionName, sources: list[Ranked], weight: float) -> None:
    """The fused list as the only source keeps its order."""
    once = fuse(sources, fusion)
    twice = fuse([Ranked(once.rows, once.scores, weight, 100), ranked([])], fusion)
    assert twice.rows.tolist() == once.rows.tolist()
    assert (np.diff(twice.scores) <= 0).all()


@pytest.mark.parametrize("fusion", ["reciprocal_rank", "weighted"])
@settings(max_examples=150)
@given(sources=lists(), data=st.data())
def test_the_order_of_the_sources_does_not_matter(
    fusion: FusionName, sources: list[Ranked], data: st.DataObject
) -> None:
    """Sums are exact: any order of the sources gives the same rows and the very same scores."""
    shuffled = data.draw(st.permutations(sources))
    found, again = fuse(sources, fusion), fuse(shuffled, fusion)
    assert found.rows.tolist() == again.rows.tolist()
    assert found.scores.tolist() == again.scores.tolist()


def test_reciprocal_rank_by_hand() -> None:
    """Row 7 is second and first: 1/62 + 2/61; row 3 is first: 1/61; row 9 is second of weight 2: 2/62."""
    fused = fuse([ranked([3, 7]), ranked([7, 9], weight=2.0)], "reciprocal_rank")
    assert fused.rows.tolist() == [7, 9, 3]
    assert fused.scores.tolist() == pytest.approx([1 / 62 + 2 / 61, 2 / 62, 1 / 61])
    assert fused.masks.tolist() == [3, 2, 1]


def test_weighted_by_hand() -> None:
    """Scores 10, 6, 2 become 1, 0.5, 0; a source whose scores are all equal counts 1 for each."""
    fused = fuse([ranked([1, 2, 3], [10.0, 6.0, 2.0]), ranked([3, 2], [-5.0, -5.0], weight=0.25)], "weighted")
    assert fused.rows.tolist() == [1, 2, 3]
    assert fused.scores.tolist() == pytest.approx([1.0, 0.75, 0.25])


def test_many_candidates_are_fused_in_order() -> None:
    """Four sources of 500, as the latency budget has them: sums and order hold at that size, too."""
    rng = np.random.default_rng(0)
    sources = [ranked(rng.permutation(10**6)[:500].tolist()) for _ in range(3)]
    sources.append(ranked(sources[0].rows[::-1].tolist()))
    fused = fuse(sources, "reciprocal_rank")
    sums = naive_sums(sources, "reciprocal_rank")
    assert fused.scores.tolist() == pytest.approx([sums[row] for row in fused.rows.tolist()], abs=1e-7)
    assert len(fused.rows) == len(sums)
    assert (np.diff(fused.scores) <= 0).all()
