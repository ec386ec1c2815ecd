"""The bench of engines runs over drawn vectors and over a published bundle's, and says who won."""

from pathlib import Path

import numpy as np
import pytest

from index_store.publish import publish
from loadtest.bench_engines import main
from loadtest.bench_engines_input import of_bundle
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
