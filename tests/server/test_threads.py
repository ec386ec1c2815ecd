"""A worker computes on one thread: more of numpy, hnswlib and ONNX Runtime would only fight for its core."""

import json
import os
import subprocess
import sys

from server.process import pin_math_threads

_WORKER = """
import json
import threadpoolctl
import hnswlib, numpy
from loadtest.synthetic_encoders import synthetic_encoders
from models.probe import probe_inputs

rows = numpy.random.default_rng(0).normal(size=(2000, 64)).astype(numpy.float32)
rows @ rows.T
encoders = synthetic_encoders()
options = [encoder.session_options for encoder in encoders.values()]
for encoder in encoders.values():
    encoder.encode(probe_inputs(encoder.spec))
print(json.dumps({
    "pools": [(pool["internal_api"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()],
    "onnx": [(each.intra_op_num_threads, each.inter_op_num_threads) for each in options],
    "spinning": [each.get_session_config_entry("session.intra_op.allow_spinning") for each in options],
}))
"""


def test_a_process_that_answers_has_one_thread_of_arithmetic() -> None:
    """With the environment that the master makes, BLAS and OpenMP have one thread; encoders one, which never spins."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    pin_math_threads(env)
    found = json.loads(subprocess.run([sys.executable, "-c", _WORKER], env=env, check=True, capture_output=True).stdout)
    assert {api for api, _ in found["pools"]} >= {"openblas"}
    assert {threads for _, threads in found["pools"]} == {1}
    assert {tuple(threads) for threads in found["onnx"]} == {(1, 1)}
    assert set(found["spinning"]) == {"0"}
