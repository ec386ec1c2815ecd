"""A ranking service in front of Shortlist: candidates by retrieval, order by a model of its own.

    GET /rank?country=FR&items=22554,22556&n=10
        → Shortlist: 200 candidates → the ranker's scores → the best n, a line each

The ranker here prefers what several sources found; put yours in its place. When Shortlist has too little time or too
much to do, the page still gets an answer: an empty one, quickly, and the caller shows what it shows to strangers.
"""

import argparse
from collections.abc import Iterable
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import numpy as np
from numpy.typing import NDArray

from shortlist.client import (
    Answer,
    Client,
    DeadlineError,
    History,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)

_CANDIDATES = 200


def rank(answer: Answer) -> NDArray[np.int64]:
    """Order the candidates (K,): by how many sources found them, then as retrieved."""
    found_by = np.bitwise_count(answer.source_masks)
    return np.argsort(-found_by.astype(np.int64), kind="stable")


class RankingService:
    """A WSGI application over one shared client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request of a browser or a frontend."""
        status, lines = self._answer(environ["QUERY_STRING"])
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return ["".join(f"{line}\n" for line in lines).encode()]

    def ask(self, query: str) -> str:
        """Answer without HTTP, a line for each item."""
        return "".join(f"{line}\n" for line in self._answer(query)[1])

    def _answer(self, query: str) -> tuple[str, list[str]]:
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        history = History([key for key in asked.get("items", "").split(",") if key], "view")
        try:
            answer = self._client.retrieve(
                asked.get("country", ""), history, _CANDIDATES, exclude_history=True, include_item_details=True
            )
        except InvalidRequestError as error:
            return "400 Bad Request", [f"{fault.field}: {fault.why}" for fault in error.fields]
        except NotFoundError as error:
            return "404 Not Found", [error.details]
        except (DeadlineError, OverloadedError, UnavailableError):
            return "200 OK", []
        best = rank(answer)[: int(asked.get("n", "10"))]
        return "200 OK", [_line(answer, place) for place in best.tolist()]


def _line(answer: Answer, place: int) -> str:
    details = answer.message.candidates[place].details
    return f"{details.item_key or answer.item_ids[place]}\t{answer.scores[place]:.4f}\t{details.title}"


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shortlist", default="127.0.0.1:50051", help="address of the server")
    parser.add_argument("--port", type=int, default=8080, help="of this service; 0 = any free one")
    parser.add_argument("--once", metavar="QUERY", help="print the answer to one such query and end")
    asked = parser.parse_args()
    with Client(asked.shortlist, timeout_s=0.2) as client:
        try:
            client.wait_until_serving(within_s=5)
        except UnavailableError as error:
            parser.exit(1, f"{error.details}; start the server first\n")
        if asked.once is not None:
            print(RankingService(client).ask(asked.once), end="")  # noqa: T201 - for people
            return
        with make_server("127.0.0.1", asked.port, RankingService(client), handler_class=_Quiet) as server:
            print(f"ranking on http://127.0.0.1:{server.server_address[1]}", flush=True)  # noqa: T201 - for people
            server.serve_forever()


if __name__ == "__main__":
    main()
