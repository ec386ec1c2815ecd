"""Runs parts, keeps their results, and never runs a finished one again."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shortlist_training.errors import DataError
from shortlist_training.reproduction.memory import peak_mb, reset_peak
from shortlist_training.reproduction.parts import Part, PartContext, PartResult, Progress

_CHUNK_BYTES = 1 << 20


class Finished(msgspec.Struct, frozen=True):
    """A part's result with what it cost. Times are seconds; peak_mb is the process's largest resident set meanwhile.

    inputs: the files of the data folder that it read; results of before they were kept have none.
    """

    name: str
    title: str
    key: str
    seed: int
    settings: dict[str, object]
    wall_s: float
    cpu_s: float
    peak_mb: float
    result: PartResult
    inputs: tuple[str, ...] = ()


def kept_results(out: Path) -> list[Finished]:
    """Read what lies in an output folder, by part name: of each part and seed the newest result."""
    newest: dict[tuple[str, int], Finished] = {}
    for path in sorted(out.glob("*/*/*.json"), key=lambda path: path.stat().st_mtime_ns):
        done = msgspec.json.decode(path.read_bytes(), type=Finished)
        newest[done.name, done.seed] = done
    return [newest[key] for key in sorted(newest)]


def run_parts(
    parts: Sequence[Part],
    *,
    data: Path,
    out: Path,
    seed: int,
    threads: int,
    progress: Progress,
    on_done: Callable[[Finished, bool], None],
) -> list[Finished]:
    """Run what is not finished yet; `on_done` hears of each part and whether it was taken from an earlier run.

    Results lie in `out/<part>/<key>.json`; an interrupted part leaves only its work folder. `DataError` names an input
    that is missing before anything is trained.
    """
    keys = [_key(part, data, seed) for part in parts]
    finished = []
    for part, key in zip(parts, keys, strict=True):
        path = out / part.name / f"{key}.json"
        if path.is_file():
            done = msgspec.json.decode(path.read_bytes(), type=Finished)
            on_done(done, True)  # noqa: FBT003 - the callback's one flag
        else:
            done = _run(part, key, PartContext(data, out / part.name / f"work-{key}", seed, threads, progress))
            _write(path, msgspec.json.format(msgspec.json.encode(done), indent=2))
            on_done(done, False)  # noqa: FBT003
        finished.append(done)
    return finished


def _run(part: Part, key: str, context: PartContext) -> Finished:
    context.work.mkdir(parents=True, exist_ok=True)
    reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(context.threads):  # numpy's; torch and implicit are told by the parts
        result = part.run(context)
    return Finished(
        name=part.name,
        title=part.title,
        key=key,
        seed=context.seed,
        settings=dict(part.settings),
        wall_s=round(time.perf_counter() - wall, 1),
        cpu_s=round(time.process_time() - cpu, 1),
        peak_mb=round(peak_mb()),
        result=result,
        inputs=part.inputs,
    )


def _key(part: Part, data: Path, seed: int) -> str:
    """Hash everything that decides the result: settings, revision, seed and the inputs' contents."""
    digest = hashlib.sha256(msgspec.json.encode([part.name, part.revision, seed, part.settings], order="deterministic"))
    for name in part.inputs:
        path = data / name
        if not path.is_file():
            message = f"{part.name} needs {path}, which is not there; --data is the folder that holds {name}"
            raise DataError(message)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def _write(path: Path, raw: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(raw)
    draft.rename(path)
