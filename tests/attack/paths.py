"""Paths that lead elsewhere, methods nobody uses, heads that are no heads."""

from itertools import product

from attack import Attack
from ledger import Kind
from wire import Line

_ENCODED = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e/", "....//", "..;/")
_FILES = ("app.py", "etc/passwd", "expansion.toml", "state/crm.db", "templates/base.html.j2")
_METHODS = ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "HEAD", "PROPFIND", "get", "X")
_TAKING = ("/", "/account?id=acc_02999", "/webhooks/generic", "/static/page.css")
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
_HEADS = (
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
_NAMED = ("X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-User", "X-User", "X-Original-URL",
          "X-Rewrite-URL", "X-HTTP-Method-Override", "Forwarded", "X-Forwarded-Proto")  # fmt: skip


def run(at: Attack, kind: Kind) -> None:
    """None of it leads anywhere but to a refusal, or to what the viewer may see anyway."""
    line = at.line(patience=10)
    for viewer in ("", "Ada"):
        for target in _TARGETS:
            at.ask(kind, line, "GET", target, viewer)
        _files(at, kind, line, viewer)
        for method, target in product(_METHODS, _TAKING):
            at.ask(kind, line, method, target, viewer)
            line.close()  # some of these have bodies that no client would expect
    for head in _HEADS:
        at.ledger.note(kind, line.raw(head), asked=repr(head[:60]))
        line.close()
    _names(at, kind, line)
    line.close()


def _files(at: Attack, kind: Kind, line: Line, viewer: str) -> None:
    for dots, deep, file in product(_ENCODED, range(1, 5), _FILES):
        answer = at.ask(kind, line, "GET", f"/static/{dots * deep}{file}", viewer)
        kind.law("a file", holds=answer.status in {303, 400, 404}, found=answer)


def _names(at: Attack, kind: Kind, line: Line) -> None:
    """By a name that the page does not go by; as somebody whom no proxy of ours has named."""
    for name in _HOSTS:
        answer = at.ask(kind, line, "GET", "/", "lead", headers={"Host": name})
        line.close()
        kind.law("a wrong name", holds=answer.status in {400, 421, 0}, found=(name, answer))
    for name, told in product(_NAMED, ("lead", "Ada", "127.0.0.1", "/list.csv", "evil.example")):
        answer = at.ask(kind, line, "GET", "/", headers={name: told})
        kind.law("believed a header", holds=answer.status == 303, found=(name, told, answer))
