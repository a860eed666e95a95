"""Limits on size, time and rate, hostile content, and failures of the database."""

import re
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from web_office import Office, answered, enter, lines, office, seal_of

from serving import store
from serving.store.schema import SCORES
from serving.web.middleware import MAX_BODY_BYTES, TokenBucket
from serving.web.templating import STATIC
from training.report import svg

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE scores; --",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "Zoë & Söhne <b>GmbH</b>",
    "\u202egnp.exe",
    "a\u2028b\x00c\x1bd",
    "../../etc/passwd",
    "x" * 5000,
    "",
)
PAGES = ("/", "/account?id=acc_00000", "/model", "/runs", "/nothing", "/sign-in", "/?sort=x")
_FILES = Path("/proc/self/fd")


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_what_stands_in_data_is_text_and_nothing_else(tmp_path: Path) -> None:
    with office(tmp_path, count=len(EVIL), names=dict(enumerate(EVIL))) as opened:
        rows = [
            {**row, "csm": text, "signals": [text, text], "note": text, "buyer": text}
            for row, text in zip(lines(len(EVIL), names=dict(enumerate(EVIL))), EVIL, strict=True)
        ]
        plain = read(opened.text("/?sort=rank"))
        enter(opened.engine, rows)
        pages = [opened.text(f"/account?id={row['account_id']}") for row in rows]
        for page in (opened.text("/"), *pages):
            reader = read(page)
            assert {tag for tag, _ in reader.tags} <= {
                *(tag for tag, _ in plain.tags),
                *(tag for tag, _ in read(pages[5]).tags),
            }
            assert "img" not in {tag for tag, _ in reader.tags}
            assert not [name for _, told in reader.tags for name in told if name.startswith("on")]
            scripts = [told for tag, told in reader.tags if tag == "script"]
            assert all(str(told["src"]).startswith("/static/") for told in scripts)
        assert "<script>alert(1)</script>" in "".join(read(opened.text("/")).texts)
        for text in EVIL:
            assert opened.browser.get("/", params={"q": text[:200]}).status_code == 200
            assert opened.browser.get("/", params={"csm": text[:200]}).status_code == 200
    with sqlite3.connect(tmp_path / "crm.db") as kept:
        assert kept.execute("SELECT count(*) FROM scores").fetchone()[0] > len(EVIL)


def test_an_account_is_found_by_whatever_id_it_has(office: Office) -> None:
    strange = ("../x", "a/b?c=d#e", "%2e%2e", "ä ö", "a&b=c", "'\"<>", "+", "a\\b", "..")
    rows = [{**row, "account_id": of} for row, of in zip(lines(len(strange)), strange, strict=True)]
    enter(office.engine, rows)

    links = re.findall(r'<th scope="row"><a href="([^"]+)"', office.text("/"))

    assert len(links) == len(strange)
    for link, of in zip(links, strange, strict=True):
        texts = "".join(read(office.text(link)).texts)
        assert f"{of} · " in texts
        assert answered(office.browser, of, verdict="won").status_code == 303


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_tells_the_browser_what_it_may_do(office: Office, path: str) -> None:
    headers = office.browser.get(path).headers

    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_the_pages_keep_their_own_rules(office: Office) -> None:
    """No style, script or handler in the page itself, and no address of elsewhere."""
    for path in PAGES:
        for tag, told in read(office.browser.get(path).text).tags:
            assert tag != "style"
            assert "style" not in told
            assert not [name for name in told if name.startswith("on")]
            for name in ("src", "href", "action"):
                assert not str(told.get(name) or "/").startswith(("http", "//"))


def test_the_colours_are_those_of_the_house() -> None:
    sheet = (STATIC / "page.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[:2]

    for told, colours in ((light, svg.LIGHT), (dark, svg.DARK)):
        assert dict(re.findall(r"--([\w-]+): (#\w+);", told)) == colours


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_no_path_leads_out_of_the_static_files(office: Office, path: str) -> None:
    with socket.create_connection(("127.0.0.1", office.browser.base_url.port)) as line:
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        told = b"".join(iter(lambda: line.recv(65536), b""))

    assert told.startswith(b"HTTP/1.1 404")
    assert b"FastAPI" not in told


def test_a_form_that_is_too_large_is_refused_unread(office: Office) -> None:
    large = b"why=" + b"x" * MAX_BODY_BYTES

    told = office.browser.post("/account?id=acc_00000", content=large)
    untold = office.browser.post("/account?id=acc_00000", content=iter([large[:50_000]] * 3))

    assert (told.status_code, untold.status_code) == (413, 413)


@pytest.mark.parametrize(
    "body", [b"[" * 50_000, b"{" * 60_000, b"a&" * 30_000, b"\xff\xfe\x00", b"%"]
)
def test_a_form_that_is_none_is_refused(office: Office, body: bytes) -> None:
    for path in ("/account?id=acc_00000", "/sign-in", "/sign-out"):
        assert office.browser.post(path, content=body).status_code < 500


def test_who_never_ends_a_form_is_let_go(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.web.middleware.BODY_TIMEOUT_SECONDS", 0.3)
    head = (
        "POST /account?id=acc_00000 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nwhy"
    )
    with socket.create_connection(("127.0.0.1", office.browser.base_url.port)) as line:
        line.settimeout(10)
        line.sendall(head.encode())

        assert line.recv(65536).startswith(b"HTTP/1.1 408")


@pytest.fixture
def small_send_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel buffer little of a response, so that the server waits for its client."""
    create = socket.create_server

    def create_server(*args: Any, **options: Any) -> socket.socket:
        created = create(*args, **options)
        created.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        return created

    monkeypatch.setattr(socket, "create_server", create_server)


def request_file(opened: Office) -> socket.socket:
    """Request the list as a file, and read nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", opened.browser.base_url.port))
    client.sendall(b"GET /list.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


@pytest.mark.usefixtures("small_send_buffer")
def test_clients_that_read_nothing_do_not_block_others(tmp_path: Path) -> None:
    with office(tmp_path, count=1_500) as opened, ExitStack() as stack:
        for _ in range(20):  # more than the database has connections
            stack.enter_context(request_file(opened))
        time.sleep(1)

        assert opened.browser.get("/model", timeout=20).status_code == 200
        assert opened.text("/list.csv").count("\r\n") == 1_501


@pytest.mark.usefixtures("small_send_buffer")
def test_a_temporary_file_is_closed_when_the_client_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[IO[str]] = []

    def create_file(*args: Any, **options: Any) -> IO[str]:
        files.append(SpooledTemporaryFile(1, *args[1:], **options))  # noqa: SIM115
        return files[-1]

    monkeypatch.setattr("serving.web.routes.list_page.SpooledTemporaryFile", create_file)
    with office(tmp_path, count=1_500) as opened:
        client = request_file(opened)
        wait_until(lambda: len(files) == 1)
        time.sleep(0.5)
        assert not files[0].closed
        client.close()

        wait_until(lambda: files[0].closed)


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


@given(st.integers(1, 500), st.lists(st.floats(0, 90), max_size=60))
def test_nobody_is_let_through_faster_than_the_pace(per_minute: int, pauses: list[float]) -> None:
    now, taken = 0.0, 0
    pace = TokenBucket(per_minute, clock=lambda: now)
    for pause in pauses:
        now += pause
        for _ in range(20):
            wait = pace.take_token("one")
            taken += wait == 0
            assert wait <= 60 / per_minute + 1e-9

    assert taken <= per_minute + now * per_minute / 60 + 1e-6
    assert taken >= min(per_minute, 20 * len(pauses))
    assert pace.take_token("another") == 0


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with office(tmp_path, count=5) as opened:
        page = opened.text("/account?id=acc_00001")
        form = {**seal_of(page), "verdict": "wrong", "why": "x" * 900}

        @sa.event.listens_for(opened.engine, "begin")
        def _full(connection: sa.Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        codes = set()
        for place in range(30):
            sent = {**form, "once": f"another-{place}"}
            codes.add(opened.browser.post("/account?id=acc_00001", data=sent).status_code)
        sa.event.remove(opened.engine, "begin", _full)

        assert codes == {303, 503}
        assert opened.browser.get("/").status_code == 200


def test_a_database_that_is_gone_is_told_and_comes_back(tmp_path: Path) -> None:
    with office(tmp_path, count=5) as opened:
        with store.write_transaction(opened.engine) as connection:
            connection.execute(sa.text("ALTER TABLE scores RENAME TO away"))
        gone = opened.browser.get("/")
        health = opened.browser.get("/account?id=acc_00001")
        with store.write_transaction(opened.engine) as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO scores"))

        assert (gone.status_code, health.status_code) == (503, 503)
        assert gone.headers["retry-after"] == "30"
        assert "no such table" not in gone.text
        assert opened.browser.get("/").status_code == 200
        assert SCORES.name == "scores"


@pytest.mark.slow
def test_a_hundred_idle_connections_keep_nobody_out(office: Office) -> None:
    port = office.browser.base_url.port
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    for line in idle:
        line.sendall(b"GET / HT")
    started = time.monotonic()

    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    assert time.monotonic() - started < 2
    for line in idle:
        line.close()
