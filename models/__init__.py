"""What turns a user into numbers: interaction types, encoder specs, ONNX encoders.

A leaf: numpy, msgspec and onnxruntime only. Training writes encoders through it, serving runs them through it,
so both sides share one definition of every input.
"""
