"""Path traversal, unusual methods and malformed request heads."""

from itertools import product

from tests.security.attack import Attack
from tests.security.raw_http import RawConnection

_ENCODED = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e/", "....//", "..;/")
_FILES = ("app.py", "etc/passwd", "expansion.toml", "state/crm.db", "templates/base.html.j2")
_METHODS = ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "HEAD", "PROPFIND", "get", "X")
_ROUTES = ("/", "/account?id=acc_02999", "/webhooks/generic", "/static/page.css")
_TARGETS = (
    *("//", "//evil.example/", "/account//", "/./", "/%00", "/%", "/%zz", "/\\..\\..", "*", "/;"),
    *("http://evil.example/", "http://127.0.0.1/list.csv", "/static", "/static/", "/static//"),
    *("/list.csv/", "/LIST.CSV", "/list.csv%00.html", "/account?id=%00", "/account?id=%ff%fe"),
    *("/account?id=" + "a" * 60_000, "/" + "a/" * 20_000, "/?" + "a=1&" * 10_000, "/?page=1e9"),
    *("/webhooks", "/webhooks/", "/webhooks/other", "/webhooks/generic/", "/webhooks/../"),
    *("/docs", "/redoc", "/openapi.json", "/metrics", "/.env", "/.git/config", "/admin"),
    *("/\u202e", "/\U0001f600", "/account?id=\ud83d\ude00".encode("utf-16", "surrogatepass").decode(
        "utf-16"), "/#x", "/ HTTP/1.1 x"),
)  # fmt: skip
_REQUEST_HEADS = (
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    b"\r\n" * 1_000 + b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n X-Folded: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX\x00Y: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: expansion=" + b"\xff" * 200 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    b"\x00" * 5_000,
    b"A" * 100_000,
)
_HOSTS = ("evil.example", "", "127.0.0.1.evil.example", "127.0.0.1:80@evil.example", "[::1", "..")
_PROXY_HEADERS = (
    *("X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-User", "X-User", "X-Original-URL"),
    *("X-Rewrite-URL", "X-HTTP-Method-Override", "Forwarded", "X-Forwarded-Proto"),
)


def run(attack: Attack) -> None:
    """Send them; each must be rejected, or show only what the user may see."""
    connection = attack.connect(timeout=10)
    for user in ("", "Ada"):
        for target in _TARGETS:
            attack.request_page(connection, "GET", target, user)
        request_files(attack, connection, user)
        for method, target in product(_METHODS, _ROUTES):
            attack.request_page(connection, method, target, user)
            connection.close()  # the response may have an unexpected body
    for head in _REQUEST_HEADS:
        attack.record(connection.send_raw(head), request=repr(head[:60]))
        connection.close()
    request_as_others(attack, connection)
    connection.close()


def request_files(attack: Attack, connection: RawConnection, user: str) -> None:
    for dots, deep, file in product(_ENCODED, range(1, 5), _FILES):
        response = attack.request_page(connection, "GET", f"/static/{dots * deep}{file}", user)
        attack.expect_status("a file was served", response, 303, 400, 404)


def request_as_others(attack: Attack, connection: RawConnection) -> None:
    """Request with other host names, and with spoofed proxy headers."""
    for name in _HOSTS:
        response = attack.request_page(connection, "GET", "/", "lead", headers={"Host": name})
        connection.close()
        attack.check(
            "a wrong host was accepted",
            holds=response.status in {400, 421, 0},
            observed=(name, response),
        )
    for name, value in product(
        _PROXY_HEADERS, ("lead", "Ada", "127.0.0.1", "/list.csv", "evil.example")
    ):
        response = attack.request_page(connection, "GET", "/", headers={name: value})
        attack.check(
            "a header was trusted", holds=response.status == 303, observed=(name, value, response)
        )
