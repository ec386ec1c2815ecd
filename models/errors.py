"""Errors of the encoder layer. None of them is the caller's fault: they mean a bad artifact or a bug of ours."""


class EncoderSpecError(Exception):
    """The artifact's fault: an encoder spec is malformed, or the ONNX graph does not have the inputs it promises."""


class EncoderError(Exception):
    """Our fault: an encoder was fed wrong shapes, or answered with something that is not a finite vector."""
