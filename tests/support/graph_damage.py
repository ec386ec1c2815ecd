"""The ways to damage an hnswlib graph: FR's, over LED's vectors."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damage_tools import FR_INDEX, Damage, resealed

HEADER_BYTES = 96


def header(offset: int, value: int) -> Damage:
    """Overwrite one 64-bit field of FR's graph header, sealed again."""

    def damage(bundle: Path) -> None:
        path = bundle / FR_INDEX
        raw = bytearray(path.read_bytes())
        struct.pack_into("<Q", raw, offset, value)
        path.write_bytes(bytes(raw))

    return resealed(damage)


def with_m(m: int) -> Callable[[dict[str, Any]], None]:
    """Let a manifest say another M of FR's graph, on its curve, too."""

    def change(manifest: dict[str, Any]) -> None:
        led = manifest["countries"]["FR"]["led"]
        led["m"] = m
        for point in led["curve"]:
            point["m"] = m

    return change


def link_to_nowhere(bundle: Path) -> None:
    """Let the first link of FR's first row lead to a row that does not exist."""
    path = bundle / FR_INDEX
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 96 + 4, 1 << 30)
    path.write_bytes(bytes(raw))


def upper_link_to_nowhere(bundle: Path) -> None:
    """The same on the upper levels: the file's last word belongs to a list or says that there is none."""
    path = bundle / FR_INDEX
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, len(raw) - 4, 1 << 30)
    path.write_bytes(bytes(raw))


def upper_links_to_the_ground(bundle: Path) -> None:
    """Let every upper list lead to a row that does not reach that level."""
    path = bundle / FR_INDEX
    raw = bytearray(path.read_bytes())
    graph = GraphBytes(raw)
    lists = graph.upper_lists()
    ground_row = next(row for row in range(graph.count) if row not in lists)
    for levels, place in lists.values():
        for level in range(levels):
            start = place + 4 * level * (1 + graph.m)
            (used,) = struct.unpack_from("<I", raw, start)
            for link in range(used):
                struct.pack_into("<I", raw, start + 4 * (1 + link), ground_row)
    path.write_bytes(bytes(raw))


def ground_word(row: int, word: int, value: int) -> Damage:
    """Overwrite one 32-bit word of a row on the ground level of FR's graph, sealed again; -1 is the row's last word."""

    def damage(bundle: Path) -> None:
        path = bundle / FR_INDEX
        raw = bytearray(path.read_bytes())
        graph = GraphBytes(raw)
        words = graph.row_bytes // 4
        struct.pack_into("<I", raw, HEADER_BYTES + row * graph.row_bytes + 4 * (word % words), value)
        path.write_bytes(bytes(raw))

    return resealed(damage)


class GraphBytes:
    """Where things lie in an hnswlib file."""

    def __init__(self, raw: bytearray) -> None:
        self.raw = raw
        self.count, self.row_bytes = struct.unpack_from("<QQ", raw, 16)
        (self.m,) = struct.unpack_from("<Q", raw, 72)

    def upper_lists(self) -> dict[int, tuple[int, int]]:
        """Row → (levels, offset of the first list) of the rows that have any."""
        place, found = HEADER_BYTES + self.count * self.row_bytes, {}
        for row in range(self.count):
            (size,) = struct.unpack_from("<I", self.raw, place)
            if size:
                found[row] = (size // (4 * (1 + self.m)), place + 4)
            place += 4 + size
        return found
