"""What turns a user into numbers: interaction types, encoder specs, ONNX encoders.

A leaf: numpy, msgspec and onnxruntime only. Training writes encoders through it, serving runs them through it,
so both sides share one definition of every input.
"""

import os

# ONNX Runtime's Linux wheels report their use to their maker and keep a database in $HOME, unless this is set before
# they are imported. A server's traffic is nobody else's business, and its root may be read-only.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
