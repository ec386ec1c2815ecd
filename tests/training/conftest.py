"""The shop of the training tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from shop import Shop


@pytest.fixture(scope="session")
def shop_in() -> Callable[[Path], Shop]:
    """Give the maker of shops, for fixtures that outlive a test."""
    return Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def pytest_configure(config: pytest.Config) -> None:
    """Let one warning pass: Ibis 12 calls a method that DuckDB deprecates; no code of ours can call another."""
    config.addinivalue_line("filterwarnings", "ignore:fetch_arrow_table:DeprecationWarning")
