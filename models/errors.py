"""Errors of the encoder layer: a bad artifact or a bug of ours, but for `FeatureKindError`, the caller's fault."""


class EncoderSpecError(Exception):
    """The artifact's fault: an encoder spec is malformed, or the ONNX graph does not have the inputs it promises."""


class EncoderError(Exception):
    """Our fault: an encoder was fed wrong shapes, or answered with something that is not a finite vector."""


class FeatureKindError(Exception):
    """The caller's fault: feature `name` is a number where a category is `expected`, or the reverse."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"feature {name!r}: expected {expected}")
        self.name = name
        self.expected = expected
