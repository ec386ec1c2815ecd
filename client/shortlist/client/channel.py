"""How a channel to Shortlist should be set up: balancing, retries, keepalive. The same for sync and asyncio."""

import json
from dataclasses import dataclass

METHOD = "/retrieval.v1.Retrieval/"
METHODS = ("Retrieve", "RetrieveBatch", "SimilarItems", "GetServingInfo")
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
SERVICE = "retrieval.v1.Retrieval"
DEFAULT_TIMEOUT_S = 0.1
DEFAULT_CONNECTIONS = 8

# A reload or a lost worker may end a call that was not begun: send it again, but not while many calls fail.
# CANCELLED: grpc/grpc#41785. RESOURCE_EXHAUSTED is not sent again: the server has too much to do already.
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": SERVICE}],
                "retryPolicy": {
                    "maxAttempts": 2,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
)


@dataclass(frozen=True)
class Settings:
    """Where the server is and how calls are made.

    target: gRPC's, as "127.0.0.1:50051" or "dns:///shortlist-headless:50051" (every address behind the name gets its
    connections). connections: per address; a server's workers share its port, and the kernel spreads connections over
    them, not calls, so that one connection keeps one worker busy. timeout_s: of a call that names none, retries
    included. ValueError where a number is out of range.
    """

    target: str
    connections: int = DEFAULT_CONNECTIONS
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if self.connections < 1:
            message = f"connections: expected at least 1, found {self.connections}"
            raise ValueError(message)
        if not self.timeout_s > 0:
            message = f"timeout_s: expected more than 0 seconds, found {self.timeout_s}"
            raise ValueError(message)

    def options(self) -> list[tuple[str, str | int]]:
        """Give the channel arguments of every connection."""
        return [
            ("grpc.service_config", SERVICE_CONFIG),
            # equal channels of a process share their connections otherwise
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # also how long an attempt to connect may take, 20 s by default: a server that starts may not answer one
            ("grpc.min_reconnect_backoff_ms", 1000),
            # the server allows a ping every 10 s; a connection that died silently is found within 25 s
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_receive_message_length", -1),
        ]
