"""A plain HTTP client of a server's inspector."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

from running_server import RunningServer


@dataclass(frozen=True)
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the page answers
        """The body, which must be JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What is wrong, which must be said."""
        found: dict[str, Any] = self.json["error"]
        return found


@dataclass(frozen=True)
class Inspector:
    """Asks the inspector at `host:port`; paths are sent as they are."""

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, server: RunningServer) -> Self:
        """Find a server's inspector by the line that says where it is."""
        match = server.wait_for_log(r"inspector http://(\S+):(\d+)/")
        return cls(match[1], int(match[2]))

    @property
    def url(self) -> str:
        """The page."""
        return f"http://{self.host}:{self.port}/"

    def get(self, page: str, **parameters: object) -> Reply:
        """GET api/<page>."""
        return self.send("GET", f"/api/{page}?{urlencode(parameters)}" if parameters else f"/api/{page}")

    def post(self, page: str, value: object) -> Reply:
        """POST JSON to api/<page>."""
        return self.send("POST", f"/api/{page}", json.dumps(value).encode(), {"content-type": "application/json"})

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        """Send anything."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body or None, {**self.headers, **(headers or {})})
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()
