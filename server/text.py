"""Text from outside (names of files, titles, messages of others) made fit for a pipe, a log line or a terminal."""

import unicodedata

# control characters, lone surrogates, and the two separators that end a line
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})


def encodable(text: str) -> str:
    """Escape what cannot be UTF-8: Python has lone surrogates for bytes of a file name that are not."""
    return text.encode("utf-8", "backslashreplace").decode()


def visible(text: str) -> str:
    """Escape what would break a line, move the cursor or be refused by a terminal."""
    return "".join(_escaped(one) if unicodedata.category(one) in _UNFIT else one for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
