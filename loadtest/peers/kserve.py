"""`python -m loadtest.peers.kserve encode|decode`: KServe v2 messages by tritonclient, in Triton's own environment.

`encode JOB IN OUT` reads user numbers (npy) and writes payloads; `decode IN OUT` reads replies and writes ids and
scores (npz).
Payloads and replies lie in files as length (8 bytes, little-endian) and bytes.
"""

import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from loadtest.peers.job import Job

METHOD = "/inference.GRPCInferenceService/ModelInfer"
MODEL, HISTORY_INPUT, IDS_OUTPUT, SCORES_OUTPUT = "retrieval", "history", "item_ids", "scores"


def write_messages(path: Path, messages: Iterable[bytes]) -> None:
    """Write messages, each after its length."""
    path.write_bytes(b"".join(struct.pack("<Q", len(each)) + each for each in messages))


def read_messages(path: Path) -> list[bytes]:
    """Read what `write_messages` wrote."""
    raw, found, at = path.read_bytes(), [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<Q", raw, at)
        found.append(raw[at + 8 : at + 8 + length])
        at += 8 + length
    return found


def _encode(job: Job, users: Path, out: Path) -> None:
    from tritonclient.grpc import service_pb2  # noqa: PLC0415 - only in Triton's environment

    messages = []
    for user in np.load(users):
        history = job.item_ids[job.histories[user]]
        request = service_pb2.ModelInferRequest(model_name=MODEL)
        request.inputs.add(name=HISTORY_INPUT, datatype="UINT64", shape=[len(history)])
        request.raw_input_contents.append(history.astype("<u8").tobytes())
        messages.append(request.SerializeToString())
    write_messages(out, messages)


def _decode(replies: Path, out: Path) -> None:
    from tritonclient.grpc import service_pb2  # noqa: PLC0415 - as above

    columns: dict[str, list[bytes]] = {IDS_OUTPUT: [], SCORES_OUTPUT: []}
    for reply in read_messages(replies):
        parsed = service_pb2.ModelInferResponse.FromString(reply)
        for output, raw in zip(parsed.outputs, parsed.raw_output_contents, strict=True):
            columns[output.name].append(raw)
    ids = np.stack([np.frombuffer(raw, dtype="<u8") for raw in columns[IDS_OUTPUT]])
    np.savez(out, ids=ids, scores=np.stack([np.frombuffer(raw, dtype="<f4") for raw in columns[SCORES_OUTPUT]]))


if __name__ == "__main__":
    if sys.argv[1] == "encode":
        _encode(Job(Path(sys.argv[2])), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        _decode(Path(sys.argv[2]), Path(sys.argv[3]))
