"""Who may ask the inspector what: methods, hosts, sizes, paths, headers. Bad input never costs the next request."""

import http.client
import json

import pytest
from asking_inspector import Inspector

GOOD = {"country": "FR", "k": 5}


def test_every_answer_has_the_security_headers(inspector: Inspector) -> None:
    """The page, its scripts, the API and refusals: own scripts and styles only, no frames, no sniffing."""
    for path in ("/", "/js/main.js", "/api/overview", "/api/nothing", "/nothing"):
        headers = inspector.send("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9465", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_it_is_not_asked_under_a_name_of_somebody_else(inspector: Inspector, host: str) -> None:
    """A page of another site cannot have its own name resolve to this address (DNS rebinding)."""
    reply = inspector.send("GET", "/api/overview", headers={"host": host})
    assert (reply.status, reply.error["code"]) == (421, "OTHER_HOST")


@pytest.mark.parametrize("host", ["localhost", "localhost:9465", "127.0.0.1:1", "[::1]:9465"])
def test_it_is_asked_by_address_or_as_localhost(inspector: Inspector, host: str) -> None:
    """However a port is forwarded."""
    assert inspector.send("GET", "/api/status", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/%2e%2e/app.py",
        "/js/../../app.py",
        "/js/%2e%2e%2f%2e%2e%2fapp.py",
        "/..%2f..%2f..%2fpyproject.toml",
        "//etc/passwd",
        "/%00",
        "/js/",
        "/js",
        "/api/../api/status/x",
    ],
)
def test_only_the_pages_own_files_are_served(inspector: Inspector, path: str) -> None:
    """No way out of the folder, no listings."""
    reply = inspector.send("GET", path)
    assert reply.status == 404
    assert b"import" not in reply.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/api/overview", "/api/query", "/index.html"])
def test_other_methods_are_refused(inspector: Inspector, method: str, path: str) -> None:
    """GET, and POST of questions."""
    assert inspector.send(method, path).status == 405


def test_a_form_of_another_site_cannot_ask(inspector: Inspector) -> None:
    """What a browser sends across sites without asking first is refused: only JSON that says so is read."""
    body = json.dumps(GOOD).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert inspector.send("POST", "/api/query", body, {"content-type": kind}).status == 415
    assert inspector.send("POST", "/api/overview", body, {"content-type": "application/json"}).status == 405


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": 201}, "k"),
        ({"k": "5"}, "k"),
        ({"country": "x" * 33}, "country"),
        ({"history": [{"item_id": "-1"}]}, "history[0].item_id"),
        ({"history": [{"item_id": 7}]}, "history[0].item_id"),
        ({"history": [{"item_id": str(2**64)}]}, "history[0].item_id"),
        ({"history": [{"item_id": "7", "type": "BUY"}]}, "history[0].type"),
        ({"history": [{"item_id": "7"}] * 1001}, "history"),
        ({"merchants": ["m"] * 51}, "merchants"),
        ({"merchants": ["m" * 257]}, "merchants[0]"),
        ({"excluded": ["7"] * 501}, "excluded"),
        ({"lowest": "cheap"}, "lowest"),
    ],
)
def test_every_field_has_its_bound(inspector: Inspector, change: dict[str, object], field: str) -> None:
    """A wrong field is named, and what was expected."""
    reply = inspector.post("query", {**GOOD, **change})
    assert reply.status == 400
    assert [fault["field"] for fault in reply.error["fields"]] == [field]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"country": "FR"}', b'{"country": "FR", "k": 5, "kk": 1}', b"[" * 100_000, b"\xff"],
)
def test_what_is_no_question_is_refused(inspector: Inspector, body: bytes) -> None:
    """Broken JSON, other JSON, unknown fields, nesting without end."""
    reply = inspector.send("POST", "/api/query", body, {"content-type": "application/json"})
    assert (reply.status, reply.error["code"]) == (400, "BAD_REQUEST")


def test_a_large_body_is_cut_off(inspector: Inspector) -> None:
    """Whether its length is declared or not."""
    body = b'{"country": "' + b"x" * 300_000 + b'"}'
    assert inspector.send("POST", "/api/query", body, {"content-type": "application/json"}).status == 413
    connection = http.client.HTTPConnection(inspector.host, inspector.port, timeout=30)
    chunks = iter([b"x" * 65536] * 8)
    connection.request("POST", "/api/query", chunks, {"content-type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "country=FR&q=" + "x" * 201,
        "country=FR&limit=0",
        "country=FR&limit=101",
        "country=FR&limit=1e3",
        "country=FR&limit=" + "9" * 5000,
        "country=FR&country=US",
        "country=FR&colour=red",
        "country=" + "x" * 33,
    ],
)
def test_parameters_have_bounds(inspector: Inspector, query: str) -> None:
    """Missing, too long, out of range, given twice, unknown."""
    assert inspector.send("GET", f"/api/items?{query}").status in (400, 414)
    assert inspector.get("status").status == 200


def test_the_page_and_its_parts_have_their_types(inspector: Inspector) -> None:
    """Browsers run scripts only of the right type once sniffing is off."""
    for path, kind in {
        "/": "text/html",
        "/js/main.js": "text/javascript",
        "/css/base.css": "text/css",
        "/icon.svg": "image/svg+xml",
        "/vendor/uPlot.iife.min.js": "text/javascript",
    }.items():
        reply = inspector.send("GET", path)
        assert reply.status == 200
        assert reply.headers["content-type"].partition(";")[0] == kind


def test_the_chart_library_has_its_licence_beside_it(inspector: Inspector) -> None:
    """What is copied from others says whose it is."""
    assert b"Permission is hereby granted" in inspector.send("GET", "/vendor/uPlot.LICENSE.txt").body
