"""The metrics endpoint of the master: `GET /metrics` as Prometheus' text or OpenMetrics, nothing else."""

import gzip
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

from server.process import PortTakenError, address_of

_CLIENT_TIMEOUT_S = 10.0
# level 1 makes a tenth of the text; 9 takes eight times as long for little more
_GZIP_LEVEL = 1


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
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                body = encode(registry)
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Vary", "Accept, Accept-Encoding")
                if gzip_accepted(self.headers.get("Accept-Encoding", "")):
                    body = gzip.compress(body, _GZIP_LEVEL)
                    self.send_header("Content-Encoding", "gzip")
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
