"""The web application: which address is answered by what, and what lives as long as it does."""

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from server.inspector.bundles import Bundles
from server.inspector.client import Client, reachable
from server.inspector.live import Live
from server.inspector.pages import Pages
from server.inspector.problems import Problem
from server.inspector.web import Guard, as_problem, problem_response
from server.plan import InspectorPlan

_LOG = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"


def make_app(plan: InspectorPlan) -> Starlette:
    """Put the application together; its client is made on the event loop that will run it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        client = Client(reachable(plan.address))
        live = Live(plan.metrics_url)
        app.state.pages = Pages(client, Bundles(plan.settings.bundle_root), live)
        scraping = asyncio.create_task(live.run()) if live.url else None
        yield
        if scraping:
            scraping.cancel()
        await client.close()

    guard = Middleware(Guard, loopback=_is_loopback(plan.settings.inspector_host))
    return Starlette(
        routes=[
            Route("/api/query", _api_query, methods=["POST"]),
            Route("/api/{page}", _api_get, methods=["GET"]),
            Mount("/", StaticFiles(directory=_STATIC, html=True)),
        ],
        middleware=[guard],
        exception_handlers={Problem: _problem, HTTPException: _refused, Exception: _bug},
        lifespan=lifespan,
    )


async def _api_get(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    answers = {
        "status": pages.status,
        "overview": pages.overview,
        "country": pages.country,
        "users": pages.users,
        "user": pages.user,
        "items": pages.items,
        "names": pages.names,
        "live": pages.look,
    }
    answer = answers.get(request.path_params["page"])
    if answer is None:
        raise HTTPException(404)
    return await answer(request)


async def _api_query(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    return await pages.query(request)


async def _problem(_: Request, error: Exception) -> Response:
    return problem_response(cast("Problem", error))


async def _refused(_: Request, error: Exception) -> Response:
    return problem_response(as_problem(error))


async def _bug(_: Request, error: Exception) -> Response:
    _LOG.error("a bug of ours", exc_info=error)
    return problem_response(Problem(500, "INTERNAL", "a bug of ours; the log has the traceback"))


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
