"""How many tokens a second the skip-gram trains: RetailRocket's sessions, and a synthetic log of many more tokens."""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from models.interactions import InteractionType
from shortlist_training.item_interaction.negatives import CustomSampler, random_table
from shortlist_training.item_interaction.skipgram import SkipgramConfig, initial_vectors, run_epoch, train_skipgram
from shortlist_training.item_interaction.tokens import ORDER, Sequences, Vocabulary, session_events, tokenise
from shortlist_training.reproduction.item_interaction_data import EVENTS, read_events
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult, ResultTable

THREADS = (1, 2)
AIM = 500_000
"""Tokens a second on two cores."""
TINY = 1e-9

Result = TypeVar("Result")


class SpeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured. repeats: epochs over RetailRocket's sessions. items, tokens: of the synthetic log."""

    gap_s: int
    repeats: int
    items: int
    tokens: int
    session_length: int
    skipgram: SkipgramConfig


def run(context: PartContext, settings: SpeedSettings) -> PartResult:
    """Measure one and two threads on both logs, and where the larger one's time goes; compilation is done before."""
    real = tokenise(session_events(read_events(context.data / EVENTS), settings.gap_s))
    made = synthetic_log(settings.items, settings.tokens, settings.session_length, context.seed)
    train_skipgram(*synthetic_log(10, 100, 5, 0), settings.skipgram, 0)  # compiles
    rows, remarks = [], []
    for name, (sequences, vocabulary), epochs in (("RetailRocket", real, settings.repeats), ("synthetic", made, 1)):
        for threads in THREADS:
            context.progress(f"{name}, {threads} threads", 0, 0)
            config = msgspec.structs.replace(settings.skipgram, epochs=epochs, threads=threads)
            spent = _timed(partial(train_skipgram, sequences, vocabulary, config, context.seed))[1]
            tokens = len(sequences.tokens) * epochs
            rows.append((f"{name}, {_threads(threads)}", _cells(tokens, *spent, len(vocabulary.counts))))
        remarks.append(_verdict(name, tokens, *spent, len(vocabulary.counts)))
    table = ResultTable(
        "Skip-gram training throughput",
        f"d = {settings.skipgram.dim}, window {settings.skipgram.window}, {settings.skipgram.negatives} random and the "
        f"custom negatives, whose drawing is part of the time; compilation is not. Synthetic: sessions of "
        f"{settings.session_length} tokens, items by Zipf's law. One run each, so without intervals; seed "
        f"{context.seed}.",
        ("million tokens", "distinct tokens", "wall s", "CPU s", "tokens per wall s", "tokens per CPU s"),
        tuple(rows),
    )
    context.progress("synthetic, step by step", 0, 0)
    steps, remark = step_table(*made, settings.skipgram, context.seed)
    return PartResult((table, steps), remarks=(*remarks, remark))


def step_table(
    sequences: Sequences, vocabulary: Vocabulary, config: SkipgramConfig, seed: int
) -> tuple[ResultTable, str]:
    """Train one epoch with one thread, step by step, and reckon what two free processors would make of it."""
    rng, steps = np.random.default_rng(seed), dict[str, tuple[float, float]]()
    tokens = len(sequences.tokens)
    (inputs, outputs), steps["initial vectors"] = _timed(
        partial(initial_vectors, len(vocabulary.counts), config.dim, rng)
    )
    drawn_from, steps["table of random negatives"] = _timed(partial(random_table, vocabulary.counts, config.power))
    sampler, steps["finding custom negatives"] = _timed(partial(CustomSampler, sequences, vocabulary))
    custom, steps["drawing custom negatives"] = _timed(partial(sampler.draw, rng))
    order, rates = rng.permutation(len(sequences.offsets) - 1), (config.learning_rate, 0.0)
    epoch = partial(run_epoch, inputs, outputs, sequences, custom, drawn_from, order, rates, config, rng)
    steps["updates"] = _timed(epoch)[1]
    total, updates = sum(cpu for _, cpu in steps.values()), steps["updates"][1]
    table = ResultTable(
        "Where the time goes, synthetic, 1 thread",
        f"One epoch of the synthetic log, {len(custom.tokens) / tokens:.1f} custom negatives per token. Threads share "
        "the updates only. The first three steps are done once per training, the last two in every epoch. "
        f"Seed {seed}.",
        ("wall s", "CPU s", "share of CPU", "CPU ns per token"),
        tuple(
            (name, (f"{wall:.1f}", f"{cpu:.1f}", f"{cpu / max(total, TINY):.0%}", f"{cpu / tokens * 1e9:,.0f}"))
            for name, (wall, cpu) in steps.items()
        ),
    )
    return table, (
        "Reckoned, not measured, from these CPU times: two processors with nothing else to do, of which only the "
        f"updates use both, train {tokens / max(total - updates / 2, TINY):,.0f} tokens of the synthetic log a second."
    )


def _timed(work: Callable[[], Result]) -> tuple[Result, tuple[float, float]]:
    """Do some work; gives its result, and the wall and CPU seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - wall, time.process_time() - cpu)


def _threads(threads: int) -> str:
    return f"{threads} thread{'s'[: threads - 1]}"


def _verdict(name: str, tokens: int, wall_s: float, cpu_s: float, distinct: int) -> str:
    """Hold two threads against the aim; what the machine gave them decides the wall time."""
    reached = tokens / wall_s
    return (
        f"{name}, {distinct:,} distinct tokens: two threads train {reached:,.0f} tokens a second, the aim of {AIM:,} "
        f"is {'met' if reached >= AIM else 'missed'}; they had {cpu_s / wall_s:.2f} processors of the machine's."
    )


def synthetic_log(items: int, tokens: int, session_length: int, seed: int) -> tuple[Sequences, Vocabulary]:
    """Make sessions of equal length; an item's chance falls as 1 / rank, and views are the most frequent type."""
    rng = np.random.default_rng(seed)
    reached = np.cumsum(1.0 / np.arange(1, items + 1))
    drawn = np.searchsorted(reached, rng.random(tokens) * reached[-1])
    kinds = np.array([InteractionType.VIEW, InteractionType.CART, InteractionType.PURCHASE], dtype=np.int64)
    types = kinds[np.searchsorted([0.8, 0.93, 1.0], rng.random(tokens))]
    codes, coded, counts = np.unique(drawn * (max(ORDER) + 1) + types, return_inverse=True, return_counts=True)
    offsets = np.append(np.arange(0, tokens, session_length), tokens).astype(np.int64)
    item, kind = np.divmod(codes, max(ORDER) + 1)
    return Sequences(coded.astype(np.int64), offsets), Vocabulary(item, kind.astype(np.int8), counts.astype(np.int64))


def _cells(tokens: int, wall_s: float, cpu_s: float, distinct: int) -> tuple[Cell | str, ...]:
    return (
        f"{tokens / 1e6:.1f}",
        f"{distinct:,}",
        f"{wall_s:.1f}",
        f"{cpu_s:.1f}",
        f"{tokens / wall_s:,.0f}",
        f"{tokens / cpu_s:,.0f}",
    )
