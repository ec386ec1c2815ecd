"""Which version directory a person means: it itself, or the one that a bundle's CURRENT names."""

from pathlib import Path

from index_store.errors import BundleUnreadable
from index_store.location import CURRENT_NAME, current_bundle


def version_directory(path: Path) -> Path:
    """Resolve a version's directory, or a bundle's directory with a CURRENT file; `BundleError` if it names nothing."""
    try:
        path = path.resolve()
        is_bundle = (path / CURRENT_NAME).exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: symbolic links in a circle
        message = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise BundleUnreadable(message) from error
    return current_bundle(path.parent, path.name) if is_bundle else path
