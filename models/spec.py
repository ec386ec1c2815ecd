"""The encoder spec: what an ONNX graph takes and gives, stored beside it as `<encoder>.json`.

Training writes it, `models.encoder` checks the graph against it, `models.led`, `models.two_tower` and `models.pdn`
build the inputs it names.
"""

from typing import Literal

import msgspec

from models.errors import EncoderSpecError
from models.features import FeatureTransform
from models.history_weights import HistoryWeights


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a graph. A dimension is a size, or the name of one that varies (`"B"`, `"T"`)."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]


class EncoderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `<encoder>.onnx` computes.

    `max_history` is the number of most recent known items that enter the graph; older ones are dropped.
    `opset` is the ONNX operator set the graph was exported with. `features` says how the inputs of the same names are
    made; a spec of format 1.0 has none. `weights` of interactions are LED's only; without them all weigh alike.
    """

    encoder: str
    system: Literal["led", "two_tower", "pdn"]
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    max_history: int
    opset: int
    features: tuple[FeatureTransform, ...] = ()
    # left out of a file where there are none: a reader that does not know of weights reads such a spec as before
    weights: HistoryWeights | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in self.inputs]
        if len(set(names)) != len(names):
            message = f"encoder {self.encoder}: inputs must be named once each, found {', '.join(names)}"
            raise EncoderSpecError(message)
        if self.max_history < 1:
            message = f"encoder {self.encoder}: max_history must be at least 1, found {self.max_history}"
            raise EncoderSpecError(message)
        if self.weights is not msgspec.UNSET and self.system != "led":
            message = f"encoder {self.encoder}: only led weighs a history's interactions"
            raise EncoderSpecError(message)
        for feature in self.features:
            if _feature_tensor(feature) not in self.inputs:
                message = f"encoder {self.encoder}: feature {feature.name} is no input of its dtype and shape (B,)"
                raise EncoderSpecError(message)
        match self.output.shape:
            case (str(), int()) | (str(),):
                return
            case _:
                message = f"encoder {self.encoder}: output must have shape (B, D) or (L,), found {self.output.shape}"
                raise EncoderSpecError(message)

    @property
    def output_dim(self) -> int:
        """D of a `(B, D)` output, 1 of an `(L,)` output."""
        return int(self.output.shape[1]) if len(self.output.shape) > 1 else 1


def led_spec(dim: int, max_history: int, opset: int, weights: HistoryWeights | None = None) -> EncoderSpec:
    """Describe the LED encoder: `u = [mean(v_h), 1]` (Koch et al. 2020, section 5.2).

    The graph takes `history_vectors` (B, T, dim) and `history_weights` (B, T), where weight 0 is padding, and gives
    `user_vector` (B, dim + 1): the weighted mean, zeros for an empty history, followed by the constant 1 that picks
    up the item bias stored as the items' last dimension. With `weights` u is `[sum w_h v_h / sum w_h, 1]`.
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
        weights=weights or msgspec.UNSET,
    )


def two_tower_spec(
    item_dim: int, dim: int, features: tuple[FeatureTransform, ...], max_history: int, opset: int
) -> EncoderSpec:
    """Describe the query tower (Yang et al. 2020, section 3.2): `user_vector` (B, dim), see `models.two_tower`."""
    return EncoderSpec(
        encoder="two_tower_query",
        system="two_tower",
        inputs=(
            TensorSpec("history_vectors", "float32", ("B", "T", item_dim)),
            TensorSpec("history_weights", "float32", ("B", "T")),
            TensorSpec("seed_vector", "float32", ("B", item_dim)),
            *(_feature_tensor(feature) for feature in features),
        ),
        output=TensorSpec("user_vector", "float32", ("B", dim)),
        max_history=max_history,
        opset=opset,
        features=features,
    )


def trignet_spec(trigger_dim: int, features: tuple[FeatureTransform, ...], max_history: int, opset: int) -> EncoderSpec:
    """Describe TrigNet (Li et al. 2021, equation 8): `trigger_weights` (L,), t_uj, see `models.pdn`."""
    return EncoderSpec(
        encoder="trignet",
        system="pdn",
        inputs=(
            TensorSpec("trigger_vectors", "float32", ("L", trigger_dim)),
            TensorSpec("trigger_owner", "int64", ("L",)),
            TensorSpec("trigger_type", "int64", ("L",)),
            TensorSpec("trigger_count", "int64", ("L",)),
            TensorSpec("trigger_position", "int64", ("L",)),
            *(_feature_tensor(feature) for feature in features),
        ),
        output=TensorSpec("trigger_weights", "float32", ("L",)),
        max_history=max_history,
        opset=opset,
        features=features,
    )


def pdn_user_spec(dim: int, features: tuple[FeatureTransform, ...], max_history: int, opset: int) -> EncoderSpec:
    """Describe the direct net's user tower (Li et al. 2021, equation 11): `user_vector` (B, dim), `[p_u, 1]`.

    The constant 1 picks up what is added to every product, stored as the items' last dimension.
    """
    return EncoderSpec(
        encoder="pdn_user",
        system="pdn",
        inputs=tuple(_feature_tensor(feature) for feature in features),
        output=TensorSpec("user_vector", "float32", ("B", dim)),
        max_history=max_history,
        opset=opset,
        features=features,
    )


def _feature_tensor(feature: FeatureTransform) -> TensorSpec:
    return TensorSpec(feature.name, "float32" if feature.kind == "number" else "int64", ("B",))


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
