"""A generation as the master sees it, and what its end means."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from server import exit_codes
from server.child import Child
from server.master_metrics import LiveRecall
from server.process import describe_exit
from server.reports import Failed, Ready, Refused
from server.settings import Settings


class Purpose(Enum):
    """Why a generation was started, which decides what its failure means."""

    START = "start"
    RELOAD = "reload"
    RESTART = "restart"


@dataclass
class Supervised:
    """The bundle at `path` with the profiles of `settings`. `fault` is the generation's last word if it gave up."""

    child: Child
    path: Path
    settings: Settings
    purpose: Purpose
    ready: Ready | None = None
    workers: int = 0
    live_recall: LiveRecall = field(default_factory=LiveRecall)
    fault: Refused | Failed | None = None
    timed_out: bool = False

    @property
    def refused(self) -> bool:
        """Whether the bundle is at fault."""
        return isinstance(self.fault, Refused)

    def reason(self, status: int) -> str:
        """Say why it ended with `status`."""
        return self.fault.message if self.fault else describe_exit(status)

    @property
    def start_exit_code(self) -> int:
        """How the master ends if this was to be the first one."""
        if self.timed_out:
            return exit_codes.START_TIMEOUT
        return exit_codes.BUNDLE_REFUSED if self.refused else exit_codes.FAILED
