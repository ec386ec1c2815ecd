"""What the client drags in."""

import subprocess
import sys

_LIST = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"


def _loaded(imports: str) -> set[str]:
    """Give the top-level modules that a program with these imports has."""
    return set(subprocess.check_output([sys.executable, "-c", f"import {imports}; {_LIST}"], text=True).split())


def test_the_client_needs_grpcio_numpy_and_protobuf_only() -> None:
    """A program that imports it loads what these three load, the contract, and nothing else."""
    # grpc.aio, as grpc itself loads health and reflection where they happen to be installed
    theirs = _loaded("grpc.aio, numpy, google.protobuf.message_factory")
    assert _loaded("shortlist.client") - theirs - set(sys.stdlib_module_names) == {"protos", "shortlist"}
