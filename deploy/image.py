"""`make image`: build the image of `deploy/Dockerfile` with buildah, which needs neither a daemon nor a registry.

Its base is a Debian of our own, made by mmdebstrap with what debian:bookworm-slim leaves out left out, unless `--base`
names an image. Needs Linux, root, and the Debian packages buildah and mmdebstrap: `make tools` installs them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
IMAGE = "localhost/shortlist:latest"
BASE = "localhost/shortlist-base:bookworm"
TARBALL = ROOT / "build" / "image" / "bookworm.tar"
# what the slim images of Debian leave out, licences kept
SLIM = (
    *(f"path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "info", "locale", "lintian")),
    "path-include=/usr/share/doc/*/copyright",
)
# one storage for buildah and podman, whatever the machine's defaults are
STORAGE = {"STORAGE_DRIVER": "overlay"}
_CONSOLE = Console()


def main(
    base: Annotated[str, typer.Option(help="Image to build on.", show_default="made by mmdebstrap")] = "",
    march: Annotated[str, typer.Option(help="What hnswlib is compiled for, as of gcc's -march.")] = "x86-64-v3",
) -> None:
    """Build the image and tag it localhost/shortlist:latest."""
    for tool in ("buildah",) if base else ("buildah", "mmdebstrap"):
        if shutil.which(tool) is None:
            sys.exit(f"image: {tool} is not installed: run `make tools`, or apt-get install {tool}")
    build(base or own_base(), march)


def build(base: str, march: str) -> None:
    """Run every step of the Dockerfile on `base`; layers are cached between runs."""
    _CONSOLE.print(f"image: building {IMAGE} on {base} for {march}; a few minutes at first")
    with tempfile.TemporaryDirectory() as scratch:
        run(
            "buildah",
            "build",
            "--isolation=chroot",  # no namespaces needed: works inside a container or a small virtual machine
            "--format=docker",  # OCI's format has no HEALTHCHECK
            "--layers",
            f"--build-arg=BASE={base}",
            f"--build-arg=MARCH={march}",
            *_certificates(Path(scratch)),
            f"--file={ROOT / 'deploy' / 'Dockerfile'}",
            f"--tag={IMAGE}",
            str(ROOT),
        )


def own_base() -> str:
    """Make a minimal Debian 12 and give the name of its image."""
    if not TARBALL.exists():
        _CONSOLE.print("image: making a minimal Debian 12 with mmdebstrap; a minute")
        TARBALL.parent.mkdir(parents=True, exist_ok=True)
        # the suffix says that it is a tarball
        unfinished = TARBALL.with_suffix(".part.tar")
        options = [f"--dpkgopt={option}" for option in SLIM]
        run("mmdebstrap", "--quiet", "--variant=minbase", *options, "bookworm", str(unfinished))
        unfinished.rename(TARBALL)
    container = run("buildah", "from", "scratch").strip()
    try:
        run("buildah", "add", "--quiet", container, str(TARBALL), "/")
        # no time in it: the same tarball is the same image, and the cache of the layers holds
        run("buildah", "commit", "--quiet", "--timestamp=0", container, BASE)
    finally:
        run("buildah", "rm", container)
    return BASE


def run(*command: str) -> str:
    """Run a tool, its progress shown as it comes; its standard output. Ends the program where the tool fails."""
    result = subprocess.run(  # noqa: S603 - a tool of the list above
        command, env={**os.environ, **STORAGE}, stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode != 0:
        sys.exit(f"image: `{command[0]} {command[1]}` ended with {result.returncode}\n{result.stdout}")
    return result.stdout


def _certificates(scratch: Path) -> list[str]:
    """Let pip inside the build trust what it trusts outside, without leaving a trace in the image."""
    bundle = os.environ.get("PIP_CERT")
    if not bundle:
        return []
    (scratch / "pip.conf").write_text("[global]\ncert = /run/build-ca.crt\n", encoding="utf-8")
    return [f"--volume={bundle}:/run/build-ca.crt:ro", f"--volume={scratch}/pip.conf:/etc/pip.conf:ro"]


if __name__ == "__main__":
    typer.run(main)
