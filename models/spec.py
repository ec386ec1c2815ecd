"""The encoder spec: what an ONNX graph takes and gives, stored beside it as `<encoder>.json`.

Training writes it, `models.encoder` checks the graph against it, `models.led` builds the inputs it names.
"""

from typing import Literal

import msgspec

from models.errors import EncoderSpecError


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a graph. A dimension is a size, or the name of one that varies (`"B"`, `"T"`)."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]


class EncoderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `<encoder>.onnx` computes.

    `max_history` is the number of most recent known items that enter the graph; older ones are dropped.
    `opset` is the ONNX operator set the graph was exported with.
    """

    encoder: str
    system: Literal["led"]
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    max_history: int
    opset: int

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in self.inputs]
        if len(set(names)) != len(names):
            message = f"encoder {self.encoder}: inputs must be named once each, found {', '.join(names)}"
            raise EncoderSpecError(message)
        if self.max_history < 1:
            message = f"encoder {self.encoder}: max_history must be at least 1, found {self.max_history}"
            raise EncoderSpecError(message)
        match self.output.shape:
            case (_, int()):
                return
            case _:
                message = f"encoder {self.encoder}: output must have shape (B, D), found {self.output.shape}"
                raise EncoderSpecError(message)

    @property
    def output_dim(self) -> int:
        """D of the `(B, D)` output."""
        return int(self.output.shape[1])


def led_spec(dim: int, max_history: int, opset: int) -> EncoderSpec:
    """Describe the LED encoder: `u = [mean(v_h), 1]` (Koch et al. 2020, section 5.2).

    The graph takes `history_vectors` (B, T, dim) and `history_weights` (B, T), where weight 0 is padding, and gives
    `user_vector` (B, dim + 1): the weighted mean, zeros for an empty history, followed by the constant 1 that picks
    up the item bias stored as the items' last dimension.
    """
    return EncoderSpec(
        encoder="led",
        system="led",
        inputs=(
            TensorSpec("history_vectors", "float32", ("B", "T", dim)),
            TensorSpec("history_weights", "float32", ("B", "T")),
        ),
        output=TensorSpec("user_vector", "float32", ("B", dim + 1)),
        max_history=max_history,
        opset=opset,
    )


def decode_spec(raw: bytes) -> EncoderSpec:
    """Parse and check a spec file; `EncoderSpecError` names the field that is wrong."""
    try:
        return msgspec.json.decode(raw, type=EncoderSpec)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"encoder spec: {error}"
        raise EncoderSpecError(message) from error


def encode_spec(spec: EncoderSpec) -> bytes:
    """Serialise a spec as the indented JSON that goes into a bundle."""
    return msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"
