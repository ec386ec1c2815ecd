"""`python -m loadtest.peers.triton_server`: Triton by PyTriton with our encoder and index as a Python model."""

import json
import signal
import sys
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from loadtest.peers.hosted import Hosted
from loadtest.peers.job import K
from loadtest.peers.kserve import HISTORY_INPUT, IDS_OUTPUT, MODEL, SCORES_OUTPUT


class Model:
    """Made in each of the model's processes."""

    def __init__(self, bundle: str) -> None:
        self._bundle = Path(bundle)
        self._hosted: Hosted | None = None

    def __call__(self, requests: list[dict[str, NDArray[np.uint64]]]) -> list[dict[str, NDArray[np.generic]]]:
        """Answer requests, one user each."""
        self._hosted = self._hosted or Hosted(self._bundle)
        found = [self._hosted.answer(request[HISTORY_INPUT], K) for request in requests]
        return [{IDS_OUTPUT: ids, SCORES_OUTPUT: scores} for ids, scores in found]


def main() -> None:
    """Take JSON: bundle, instances, grpc_port, http_port, metrics_port."""
    asked = json.loads(sys.argv[1])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    config = TritonConfig(
        grpc_address="127.0.0.1", grpc_port=asked["grpc_port"], http_address="127.0.0.1", http_port=asked["http_port"],
        metrics_address="127.0.0.1", metrics_port=asked["metrics_port"], allow_metrics=False,
    )  # fmt: skip
    with Triton(config=config) as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=[Model(asked["bundle"]) for _ in range(asked["instances"])],
            inputs=[Tensor(name=HISTORY_INPUT, dtype=np.uint64, shape=(-1,))],
            outputs=[
                Tensor(name=IDS_OUTPUT, dtype=np.uint64, shape=(-1,)),
                Tensor(name=SCORES_OUTPUT, dtype=np.float32, shape=(-1,)),
            ],
            config=ModelConfig(batching=False),
        )
        triton.run()
        ended.wait()


if __name__ == "__main__":
    main()
