"""The bench of engines runs over drawn vectors and over a published bundle's, and says who won."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index_store.hnsw import HnswIndex
from index_store.publish import publish
from loadtest.bench_engines import main
from loadtest.bench_engines_graph import graph_of
from loadtest.bench_engines_input import of_bundle, of_files
from tiny_bundle import POLICY
from tiny_sources import full_content


def test_drawn_vectors_are_searched_by_every_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every target has a line for every engine, as fast or as good as it gets, and a winner."""
    path = tmp_path / "engines.md"
    main(items=3000, queries=60, m=[8], markdown=path)
    text = capsys.readouterr().out
    assert path.read_text().strip() == text.strip()
    for target in ("0.90", "0.95", "0.99"):
        assert f"- {target}: **" in text
        own = [line for line in text.splitlines() if line.startswith(f"| {target} |")]
        assert sum(engine in " ".join(own) for engine in ("exact", "hnsw", "scann")) == 3


def test_kept_graphs_are_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run over the same vectors loads them and finds the same; other vectors or settings have their own."""
    vectors = np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32)
    policy = replace(POLICY, recall_k=10)
    first = graph_of(vectors, policy, "ip", 8, tmp_path)
    others = graph_of(vectors + 1, policy, "ip", 8, tmp_path), graph_of(vectors, policy, "l2_augmented", 8, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(HnswIndex, "build", None)
    again = graph_of(vectors, policy, "ip", 8, tmp_path)
    for graph in (first, again, *others):
        graph.index.set_ef(50)
    found, expected = again.index.search(vectors[:20], 10), first.index.search(vectors[:20], 10)
    assert np.array_equal(found.rows, expected.rows)
    assert not np.array_equal(others[0].index.search(vectors[:20], 10).rows, expected.rows)


def test_files_of_vectors_are_asked_with_files_of_users(tmp_path: Path) -> None:
    """Both as they are, so many of the users; another width is refused with both shapes."""
    rng = np.random.default_rng(0)
    items, users = (rng.normal(size=(size, 6)).astype(np.float32) for size in (50, 9))
    for name, values in (("items", items), ("users", users), ("wide", users[:, :4])):
        np.save(tmp_path / f"{name}.npy", values)
    found = of_files(tmp_path / "items.npy", tmp_path / "users.npy", 5)
    assert np.array_equal(found.vectors, items)
    assert found.queries.shape == (5, 6)
    assert {row.tobytes() for row in found.queries} <= {row.tobytes() for row in users}
    with pytest.raises(ValueError, match=r"found \(50, 6\) and \(9, 4\)"):
        of_files(tmp_path / "items.npy", tmp_path / "wide.npy", 5)


def test_a_bundles_sample_users_are_the_queries(tmp_path: Path) -> None:
    """LED's are as the encoder gives them, others have the vectors' dimensions, unknown sources are refused."""
    path = publish(full_content(), root=tmp_path, name="tiny", version="v1", policy=POLICY)
    found = of_bundle(path, "led", "FR", 10)
    assert np.all(found.queries[:, -1] == 1.0)
    for source in ("two_tower", "pdn", "CART"):
        other = of_bundle(path, source, "FR", 10)
        assert other.queries.shape[1] == other.vectors.shape[1]
    with pytest.raises(ValueError, match="has no source 'LIKE'"):
        of_bundle(path, "LIKE", "FR", 10)
