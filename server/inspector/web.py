"""What surrounds every request: who may ask, how large a question may be, what a browser may do with the answer."""

import ipaddress
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.inspector.problems import Fault, Problem, bad_request

MAX_BODY_BYTES = 256 * 1024
MAX_QUERY_BYTES = 2048
_JSON = "application/json"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_T = TypeVar("_T")


class Guard:
    """Refuses requests for other hosts and overlong ones, and adds the security headers to every answer.

    A page of another site could make a browser ask a loopback address under a name of its own (DNS rebinding) and read
    the answer. So while only this machine can reach the inspector (`loopback`), it must be asked by address or as
    "localhost".
    """

    def __init__(self, app: ASGIApp, *, loopback: bool) -> None:
        self._app = app
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                # files have an ETag, figures are of the moment
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        problem = self._problem(scope)
        await (problem_response(problem) if problem else self._app)(scope, receive, send_guarded)

    def _problem(self, scope: Scope) -> Problem | None:
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return Problem(414, "TOO_LONG", f"expected at most {MAX_QUERY_BYTES} bytes behind the question mark")
        if self._loopback and not is_local_name(Headers(scope=scope).get("host", "")):
            return Problem(421, "OTHER_HOST", "expected to be asked by address or as localhost")
        return None


def is_local_name(host: str) -> bool:
    """Whether a Host header is an address or "localhost": a name of somebody's is neither."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def json_response(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(value), status, media_type=_JSON, headers={"cache-control": "no-store"})


def problem_response(problem: Problem) -> Response:
    """Answer with what is wrong."""
    error = {"code": problem.code, "message": problem.message, "fields": problem.faults}
    return json_response({"error": error}, problem.status)


async def read_json(request: Request, kind: type[_T]) -> _T:
    """Read the body as a `kind`. Only JSON that says so: a form of another site cannot send it unasked."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != _JSON:
        raise Problem(415, "NOT_JSON", f"expected content-type {_JSON}, found {declared[:80]!r}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Problem(413, "TOO_LARGE", f"expected a body of at most {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "BAD_REQUEST", str(error), _faults(str(error))) from error


def _faults(message: str) -> Sequence[Fault]:
    """Name the field as msgspec does, behind "at `$.": "Expected `int` <= 200 - at `$.k`"."""
    what, at, place = message.partition(" - at `$.")
    return [Fault(place.removesuffix("`"), what)] if at else []


def text_parameter(request: Request, name: str, most: int, default: str | None = None) -> str:
    """Read a parameter of the address, of at most `most` characters; required where there is no default."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        message = f"{name}: expected it once, found it {len(values)} times"
        raise bad_request(message)
    value = values[0] if values else default
    if value is None:
        message = f"{name}: expected a value, found none"
        raise bad_request(message)
    if len(value) > most:
        message = f"{name}: expected at most {most} characters, found {len(value)}"
        raise bad_request(message)
    return value


def number_parameter(request: Request, name: str, default: int, most: int) -> int:
    """Read a whole number from 1 to `most`."""
    text = text_parameter(request, name, 20, str(default))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        message = f"{name}: expected 1 to {most}, found {text!r}"
        raise bad_request(message)
    return int(text)


def only_parameters(request: Request, *names: str) -> None:
    """Refuse a parameter that is none: a misspelt one must not silently do nothing."""
    unknown = [name for name in request.query_params if name not in names]
    if unknown:
        message = f"{unknown[0][:80]!r} is no parameter; known are {', '.join(names) or 'none'}"
        raise bad_request(message)


def as_problem(error: Exception) -> Any:  # noqa: ANN401 - what Starlette's table of handlers takes
    """Turn the router's own refusals into the same JSON."""
    status = getattr(error, "status_code", 500)
    words = {404: "there is no such page", 405: "this page does not take this method"}
    return Problem(status, "NOT_FOUND" if status == 404 else "REFUSED", words.get(status, "refused"))  # noqa: PLR2004
