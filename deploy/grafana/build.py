"""`make dashboards`: render `boards.toml` to `dashboards/*.json`, which Grafana imports."""

from pathlib import Path

import msgspec
from board import Board, to_json

HERE = Path(__file__).parent


class Boards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    boards: list[Board]


def render() -> dict[Path, str]:
    """Give each dashboard's file and what has to be in it."""
    boards = msgspec.toml.decode((HERE / "boards.toml").read_bytes(), type=Boards).boards
    return {HERE / "dashboards" / f"{board.uid}.json": to_json(board) for board in boards}


if __name__ == "__main__":
    for path, text in render().items():
        path.write_text(text, encoding="utf-8")
