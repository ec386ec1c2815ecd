"""Takes the pictures of docs/inspector: the demo bundle under a little load, each view at two widths, light and dark.

`make inspector-screenshots`; needs Chromium (`make tools`) and the demo bundle.
"""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import Browser, browser
from PIL import Image
from running_server import eventually

from processes import serving

ROOT = Path(__file__).parent.parent
HERE = ROOT / "docs" / "inspector"
BUNDLE = ROOT / "build/bundles/online-retail"
QUESTION = "bench?country=FR&user=12413&k=12"
_COLOURS = 256
VIEWS = {
    "overview": ("overview?country=FR", ".index-panel"),
    "live": ("live", ".chart canvas"),
    "bench": (QUESTION, ".graph svg"),
}
WIDTHS = {1280: 900, 390: 844}
_LOAD = ("--rates", "25,40,30,45", "--seconds", "60", "-k", "50", "--connections", "4")


@contextmanager
def _load(address: str) -> Iterator[None]:
    version = (BUNDLE / "CURRENT").read_text().strip()
    command = [sys.executable, "-m", "loadtest", str(BUNDLE / version), "--address", address, *_LOAD]
    with tempfile.TemporaryFile() as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, cwd=ROOT)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _take(page: Browser, url: str, name: str, width: int, *, dark: bool) -> None:
    place, there = VIEWS[name]
    page.open(f"{url}#/{place}", width, WIDTHS[width], dark=dark)
    page.one(there)
    if name == "live":
        page.wait(lambda: len(page.texts(".chart-legend b")) >= 3 and len(page.all(".plain-table tbody tr")) > 8)
    path = HERE / f"{name}-{width}{'-dark' if dark else ''}.png"
    picture = Image.open(io.BytesIO(page.full_page())).convert("RGB")
    picture.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")


def main() -> None:
    """Serve, load, look."""
    os.chdir(ROOT)
    HERE.mkdir(exist_ok=True)
    config = ["--config", "deploy/demo.toml", "--inspector-port", "0"]
    with serving(config, 120) as (server, address, _), browser() as page, _load(address):
        url = server.wait_for(r"inspector (http\S+)")[1]
        page.open(f"{url}#/live")
        eventually(lambda: _seen_for_a_while(page), within_s=180)
        for name in VIEWS:
            for width in WIDTHS:
                _take(page, url, name, width, dark=width == min(WIDTHS))
        _take(page, url, "bench", 1280, dark=True)


def _seen_for_a_while(page: Browser) -> bool:
    script = "const reply = await fetch('api/live'); return (await reply.json()).series.time"
    times = page.run(f"return (async () => {{ {script} }})()")
    return bool(times) and times[-1] - times[0] > 40


if __name__ == "__main__":
    main()
