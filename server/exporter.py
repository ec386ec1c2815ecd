"""The metrics endpoint of the master: `GET /metrics` in Prometheus' text format, nothing else."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from server.process import PortTakenError, address_of

_CLIENT_TIMEOUT_S = 10.0


class Exporter:
    """Serves a registry over HTTP from a thread of its own."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._registry = registry
        self._host = host
        self._port = port

    def start(self) -> str:
        """Bind and serve until the process ends; returns the URL. `PortTakenError` if the address cannot be bound."""
        registry = self._registry

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in self._host else socket.AF_INET

        class Handler(BaseHTTPRequestHandler):
            timeout = _CLIENT_TIMEOUT_S

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                body = generate_latest(registry)
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Scrapes are not worth a line each."""

        try:
            server = Server((self._host, self._port), Handler)
        except (OSError, ValueError) as error:  # ValueError: no name for the resolver
            reason = getattr(error, "strerror", None) or error
            message = f"cannot listen on {address_of(self._host, self._port)} for metrics: {reason}"
            raise PortTakenError(message) from error
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return f"http://{address_of(self._host, server.server_address[1])}/metrics"
