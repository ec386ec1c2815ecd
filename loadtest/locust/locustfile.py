"""Locust users of Shortlist, in the mix of real traffic: mostly Retrieve by profile, some SimilarItems, a few batches.

    locust -f loadtest/locust/locustfile.py --host 127.0.0.1:50051 --bundle build/bundles/online-retail

Add `--headless --users 50 --spawn-rate 10 --run-time 1m` for a run without the web page. What Locust is for, and what
it does not measure: docs/load-testing.md.
"""

import gevent.monkey

gevent.monkey.patch_all()

import json  # noqa: E402 - gevent patches before anything is imported
import random  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, ClassVar  # noqa: E402

import grpc  # noqa: E402
import grpc.experimental.gevent  # noqa: E402
from locust import User, between, events, tag, task  # noqa: E402
from locust.argument_parser import LocustArgumentParser  # noqa: E402
from locust.env import Environment  # noqa: E402

from protos.retrieval.v1 import retrieval_pb2 as pb  # noqa: E402
from protos.retrieval.v1.retrieval_pb2_grpc import RetrievalStub  # noqa: E402

# before any channel: otherwise a call blocks all users of the process
grpc.experimental.gevent.init_gevent()

MAX_HISTORY = 50


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # so it is in Locust
def add_options(parser: LocustArgumentParser) -> None:
    """Options of ours, also fields of the web page."""
    parser.add_argument("--bundle", default="build/bundles/online-retail", help="bundle whose sample users ask")
    parser.add_argument("--profiles", default="", help="comma-separated; empty = the server's default")
    parser.add_argument("--k", type=int, default=100, help="candidates of a request")
    parser.add_argument("--deadline", type=float, default=0.2, help="deadline of a call, seconds")
    parser.add_argument("--seed", type=int, default=7, help="who asks, and in what order")


@events.init.add_listener  # type: ignore[untyped-decorator] # as above
def read_users(environment: Environment, **_: object) -> None:
    """Read the bundle's sample users once per process; ends the run in one line where there are none."""
    options: Any = environment.parsed_options
    bundle = Path(options.bundle)
    version = (bundle / "CURRENT").read_text().strip() if (bundle / "CURRENT").exists() else "."
    lines = (bundle / version / "samples" / "timelines.jsonl").read_text(encoding="utf-8").splitlines()
    ShortlistUser.timelines = [line for line in map(json.loads, lines) if line["item_ids"]]
    ShortlistUser.random = random.Random(options.seed)  # noqa: S311 - a load, not a secret


class ShortlistUser(User):
    """One caller with a connection of its own, as a ranking service's process has."""

    abstract = True
    timelines: ClassVar[list[dict[str, Any]]] = []
    random: ClassVar[random.Random]

    def on_start(self) -> None:
        """Connect."""
        # channels with equal arguments would share one connection otherwise, and so one worker of the server
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(self.host or "127.0.0.1:50051", options=options)
        self.stub = RetrievalStub(self.channel)  # type: ignore[no-untyped-call] # generated
        self.settings: Any = self.environment.parsed_options

    def on_stop(self) -> None:
        """Close the connection."""
        self.channel.close()

    def someone(self) -> dict[str, Any]:
        """Pick a sample user."""
        return self.random.choice(self.timelines)

    def a_request(self) -> pb.RetrieveRequest:
        """What their next visit would ask."""
        timeline = self.someone()
        pairs = zip(timeline["item_ids"][-MAX_HISTORY:], timeline["types"][-MAX_HISTORY:], strict=True)
        return pb.RetrieveRequest(
            country=timeline["country"],
            history=[pb.Interaction(item_id=item_id, type=kind) for item_id, kind in pairs],
            k=self.settings.k,
            exclude_history=True,
            profile=self.random.choice(self.settings.profiles.split(",")),
        )

    def call(self, name: str, method: Callable[..., Any], request: object) -> None:
        """Send one call and tell Locust how it went, by its status."""
        start_s, begun = time.time(), time.perf_counter()
        length, error = 0, None
        try:
            length = method(request, timeout=self.settings.deadline).ByteSize()
        except grpc.RpcError as failure:
            error = RuntimeError(failure.code().name)
        self.environment.events.request.fire(
            request_type="grpc",
            name=name,
            start_time=start_s,
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=length,
            exception=error,
            context={},
        )


class Visitor(ShortlistUser):
    """Someone who browses: a page of recommendations, now and then items like the one on the screen."""

    weight = 9
    wait_time = between(0.5, 1.5)

    @tag("retrieve")
    @task(8)
    def recommendations(self) -> None:
        """Retrieve by a profile."""
        request = self.a_request()
        self.call(f"Retrieve {request.profile or 'default'}", self.stub.Retrieve, request)

    @tag("similar")
    @task(2)
    def similar(self) -> None:
        """SimilarItems of the newest item of the history."""
        timeline = self.someone()
        item = pb.ItemRef(item_id=timeline["item_ids"][-1])
        request = pb.SimilarItemsRequest(country=timeline["country"], item=item, k=20)
        self.call("SimilarItems", self.stub.SimilarItems, request)


class Mailing(ShortlistUser):
    """A job that writes to many users at once, at its own pace."""

    weight = 1
    wait_time = between(1, 3)

    @tag("batch")
    @task
    def batch(self) -> None:
        """RetrieveBatch of 32."""
        requests = [self.a_request() for _ in range(32)]
        self.call("RetrieveBatch 32", self.stub.RetrieveBatch, pb.RetrieveBatchRequest(requests=requests))
