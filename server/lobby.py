"""The process that holds the port while no bundle is served: health says NOT_SERVING, calls get UNAVAILABLE.

    master → lobby (this) …… until the first generation is ready

Without it a load balancer could not tell a server that is loading from one that is not there.
"""

import sys

from server.drain import EndSignals, drain
from server.edge import Edge
from server.exit_codes import OK
from server.log import set_up_logging
from server.loop import run_and_exit
from server.plan import LobbyPlan, decode_plan
from server.process import die_with_parent


async def live(plan: LobbyPlan) -> int:
    """Start, answer until told to end, drain."""
    ends = EndSignals()
    ends.install()
    die_with_parent(plan.parent)
    edge = Edge(plan.settings)
    await edge.start(plan.address, serving=False)
    end = await ends.wait()
    await drain(edge, plan.settings, end)
    return OK


def main() -> None:
    """Run the lobby that the command line describes."""
    plan = decode_plan(sys.argv[1], LobbyPlan)
    set_up_logging("lobby", plan.settings.log_level, plan.settings.log_format)
    run_and_exit(live(plan))


if __name__ == "__main__":
    main()
