"""Which version directory a person means: it itself, or the one that a bundle's CURRENT names."""

from pathlib import Path

from index_store.location import CURRENT_NAME, current_bundle


def version_directory(path: Path) -> Path:
    """Resolve a version's directory, or a bundle's directory with a CURRENT file; `BundleError` if it names nothing."""
    path = path.resolve()
    if (path / CURRENT_NAME).exists():
        return current_bundle(path.parent, path.name)
    return path
