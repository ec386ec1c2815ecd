"""How many tokens a second the skip-gram trains: RetailRocket's sessions, and a synthetic log of many more tokens."""

import time

import msgspec
import numpy as np

from models.interactions import InteractionType
from shortlist_training.item_interaction.skipgram import SkipgramConfig, train_skipgram
from shortlist_training.item_interaction.tokens import ORDER, Sequences, Vocabulary, session_events, tokenise
from shortlist_training.reproduction.item_interaction_data import EVENTS, read_events
from shortlist_training.reproduction.parts import Cell, PartContext, PartResult, ResultTable


class SpeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured. repeats: epochs over RetailRocket's sessions. items, tokens: of the synthetic log."""

    gap_s: int
    repeats: int
    items: int
    tokens: int
    session_length: int
    skipgram: SkipgramConfig


def run(context: PartContext, settings: SpeedSettings) -> PartResult:
    """Measure one and two threads on both logs; compilation is done before."""
    real = tokenise(session_events(read_events(context.data / EVENTS), settings.gap_s))
    made = synthetic_log(settings.items, settings.tokens, settings.session_length, context.seed)
    train_skipgram(*synthetic_log(10, 100, 5, 0), settings.skipgram, 0)  # compiles
    rows = []
    for name, (sequences, vocabulary), epochs in (("RetailRocket", real, settings.repeats), ("synthetic", made, 1)):
        for threads in (1, 2):
            context.progress(f"{name}, {threads} threads", 0, 0)
            config = msgspec.structs.replace(settings.skipgram, epochs=epochs, threads=threads)
            wall, cpu = time.perf_counter(), time.process_time()
            train_skipgram(sequences, vocabulary, config, context.seed)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            cells = _cells(len(sequences.tokens) * epochs, *spent, len(vocabulary.counts))
            rows.append((f"{name}, {threads} thread{'s'[: threads - 1]}", cells))
    table = ResultTable(
        "Skip-gram training throughput",
        f"d = {settings.skipgram.dim}, window {settings.skipgram.window}, {settings.skipgram.negatives} random and the "
        f"custom negatives, whose drawing is part of the time; compilation is not. Synthetic: sessions of "
        f"{settings.session_length} tokens, items by Zipf's law. One run each, so without intervals; seed "
        f"{context.seed}.",
        ("million tokens", "distinct tokens", "wall s", "CPU s", "tokens per wall s", "tokens per CPU s"),
        tuple(rows),
    )
    return PartResult((table,))


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
