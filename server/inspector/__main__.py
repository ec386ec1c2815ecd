"""`python -m server.inspector PLAN`: what the master starts. It yields to whatever serves before it loads anything."""

import logging
import os
import sys
from pathlib import Path

from server.log import set_up_logging
from server.plan import InspectorPlan, decode_plan
from server.process import die_with_parent

_LOG = logging.getLogger(__name__)
_NICENESS = 10
_FIRST_TO_GO = 1000


def _yield_to_serving() -> None:
    """Take what processor time is left over, and be the first to go when memory runs out."""
    os.nice(_NICENESS)
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO), encoding="ascii")
    except OSError as error:
        _LOG.debug("cannot set oom_score_adj: %s", error)


def main() -> None:
    """Run the inspector that the command line describes."""
    plan = decode_plan(sys.argv[1], InspectorPlan)
    set_up_logging("inspector", plan.settings.log_level, plan.settings.log_format)
    die_with_parent(plan.parent)
    _yield_to_serving()
    from server.inspector.run import run  # noqa: PLC0415 - numpy and gRPC are loaded at low priority

    run(plan)


if __name__ == "__main__":
    main()
