"""One error class per MUST of docs/bundle-format.md. All mean: the artifact is at fault, and it was refused.

Each message names the file or field, what was expected and what was found; `rule` is the number of the MUST.
"""


class BundleError(Exception):
    """The bundle was refused; `rule` is the violated MUST of docs/bundle-format.md, "M1" to "M26"."""

    rule: str = ""

    def __str__(self) -> str:
        """Prefix the message with the rule, so that a log line leads to the paragraph of the format."""
        return f"{type(self).__name__} ({self.rule}): {super().__str__()}"


class ManifestMissing(BundleError):
    """The version directory has no readable manifest: it was never published, or only partly copied."""

    rule = "M1"


class FormatVersionUnsupported(BundleError):
    """The bundle was written in a format that this reader does not know."""

    rule = "M2"


class ManifestMalformed(BundleError):
    """The manifest is not the JSON that the format prescribes."""

    rule = "M3"


class IdentityMismatch(BundleError):
    """The manifest speaks of another name or version than the directory it lies in."""

    rule = "M4"


class UnsafePath(BundleError):
    """A path leaves the bundle, is not in normal form, or is not a regular file."""

    rule = "M5"


class FileListedTwice(BundleError):
    """The manifest lists a path twice."""

    rule = "M6"


class FileMissing(BundleError):
    """A listed file does not exist."""

    rule = "M7"


class FileUnlisted(BundleError):
    """The directory holds a file that the manifest does not list."""

    rule = "M8"


class SizeMismatch(BundleError):
    """A file is shorter or longer than listed."""

    rule = "M9"


class ChecksumMismatch(BundleError):
    """A file's content is not the one that was published."""

    rule = "M10"


class LayoutMismatch(BundleError):
    """The listed files or encoders are not those that the manifest's sources, countries and engines need."""

    rule = "M11"


class ArrayMalformed(BundleError):
    """An array is not an `.npy` file of the prescribed dtype and shape."""

    rule = "M12"


class CatalogInvalid(BundleError):
    """A catalogue has duplicate ids or keys, an empty key, a negative popularity, or a price that can be none."""

    rule = "M13"


class StringTableMalformed(BundleError):
    """A string table's offsets or bytes do not describe UTF-8 strings."""

    rule = "M14"


class EncoderMismatch(BundleError):
    """An encoder cannot be opened as its spec says, or does not belong to the bundle's vectors."""

    rule = "M15"


class VectorsInvalid(BundleError):
    """A vector has a component that is NaN or infinite."""

    rule = "M16"


class IndexMismatch(BundleError):
    """An index is not one over the vectors it lies beside."""

    rule = "M17"


class RecallUnderTarget(BundleError):
    """No measured setting of a country's index reaches the recall target, or the manifest contradicts its curve."""

    rule = "M18"


class GoldenInvalid(BundleError):
    """Golden requests are missing, malformed, or speak of items that the bundle does not have."""

    rule = "M19"


class GoldenMismatch(BundleError):
    """The bundle answers a golden request differently from training."""

    rule = "M20"


class CurrentInvalid(BundleError):
    """`CURRENT` is missing or does not name a version directory."""

    rule = "M21"


class BundleUnreadable(BundleError):
    """The operating system or a parser refuses a file in a way that no other MUST names."""

    rule = "M22"


class SourcesMismatch(BundleError):
    """Countries have different sources, or the manifest's settings are not those of the sources it has."""

    rule = "M23"


class PathsInvalid(BundleError):
    """A table of neighbours names a row that is none, the row itself or one twice, or its scores are out of order."""

    rule = "M24"


class PairsInvalid(BundleError):
    """The rows of a type's pairs are not rising rows of the catalogue, or their vectors are not of length 1."""

    rule = "M25"


class EngineMissing(BundleError):
    """The bundle is searched by an engine that is not installed here; the message says what to install."""

    rule = "M26"


class VersionExists(Exception):
    """The publisher's fault: this version is published already, and published versions are immutable."""
