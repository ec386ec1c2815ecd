"""`shortlist verify`: every MUST of the format, checked as a server would."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from index_store.bundle import verify_bundle
from server.commands.bundle_path import version_directory
from server.text import visible


def verify(path: Path) -> None:
    """Load the bundle and replay its golden requests; raises the `BundleError` of the first MUST that does not hold."""
    directory = version_directory(path)
    # a Text, because a str would be read as markup: a folder may have brackets in its name
    doing = Text(visible(f"verifying {directory.parent.name}/{directory.name}"))
    with Console(stderr=True).status(doing):
        bundle = verify_bundle(directory)
    size = sum(entry.bytes for entry in bundle.manifest.files)
    Console(soft_wrap=True).print(
        f"{bundle.name}/{bundle.version} is good: format {bundle.format_version}, "
        f"{len(bundle.countries)} countries, {len(bundle.manifest.files)} files, {size / 1e6:.1f} MB, "
        f"{len(bundle.golden)} golden requests, loaded in {bundle.load_ms} ms",
        markup=False,
        emoji=False,
    )
