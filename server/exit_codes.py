"""How each process ends: the number says who is at fault, so that an orchestrator need not read the log."""

OK = 0
FAILED = 1  # a bug, or the children could not be kept alive
USAGE = 2  # settings are wrong
BUNDLE_REFUSED = 3  # the bundle to start with is missing or violates a MUST of the format
PORT_TAKEN = 4  # another process has the port, or the address is not ours
START_TIMEOUT = 5  # the first bundle did not become ready in time
WORKER_BOOT = 6  # a worker could not start serving
NO_SERVER = 8  # `query`: nothing answers at the address, or not in time
CALL_REFUSED = 9  # `query`: the server answered with an error
NO_SAMPLE_USER = 10  # `query --user`: the bundle has no such sample user, or a file of them that cannot be read
NOT_SERVING = 11  # `health`: the server answers, and is not serving


def meaning(code: int) -> str:
    """Say what the code of a child means to the one who reads the log of its parent; "" where the number is all."""
    return {BUNDLE_REFUSED: "refused the bundle", WORKER_BOOT: "could not start serving"}.get(code, "")
