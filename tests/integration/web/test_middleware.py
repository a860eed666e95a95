"""Limits on size, time and rate, hostile content, and failures of the database."""

import re
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from serving import store
from serving.web.middleware import MAX_BODY_BYTES, TokenBucket
from serving.web.templating import STATIC
from tests.integration.web.web_client import (
    WebFixture,
    build_rows,
    open_web_fixture,
    read_hidden_fields,
    submit_feedback,
    write_list,
)
from tests.parsed_page import ParsedPage
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


def test_data_is_rendered_as_text_only(tmp_path: Path) -> None:
    with open_web_fixture(tmp_path, count=len(EVIL), names=dict(enumerate(EVIL))) as opened:
        rows = [
            {**row, "csm": text, "signals": [text, text], "note": text, "contact_role": text}
            for row, text in zip(
                build_rows(len(EVIL), names=dict(enumerate(EVIL))), EVIL, strict=True
            )
        ]
        plain = ParsedPage(opened.get_text("/?sort=rank"))
        write_list(opened.engine, rows)
        whole = ParsedPage(opened.get_text("/"))
        pages = [ParsedPage(opened.get_text(f"/account?id={row['account_id']}")) for row in rows]
        for page in (whole, *pages):
            assert {*page.tags} <= {*plain.tags, *pages[5].tags} - {"img"}
            assert not page.event_handlers
            scripts = [attributes["src"] for tag, attributes in page.elements if tag == "script"]
            assert all(str(source).startswith("/static/") for source in scripts)
        assert "<script>alert(1)</script>" in "".join(whole.texts)
        for text in EVIL:
            assert opened.client.get("/", params={"q": text[:200]}).status_code == 200
            assert opened.client.get("/", params={"csm": text[:200]}).status_code == 200
    with sqlite3.connect(tmp_path / "crm.db") as database:
        assert database.execute("SELECT count(*) FROM scores").fetchone()[0] > len(EVIL)


def test_an_account_with_any_id_has_a_working_link(site: WebFixture) -> None:
    account_ids = ("../x", "a/b?c=d#e", "%2e%2e", "ä ö", "a&b=c", "'\"<>", "+", "a\\b", "..")
    rows = [
        {**row, "account_id": account_id}
        for row, account_id in zip(build_rows(len(account_ids)), account_ids, strict=True)
    ]
    write_list(site.engine, rows)

    links = re.findall(r'<th scope="row"><a href="([^"]+)"', site.get_text("/"))

    assert len(links) == len(account_ids)
    for link, account_id in zip(links, account_ids, strict=True):
        texts = "".join(ParsedPage(site.get_text(link)).texts)
        assert f"{account_id} · " in texts
        assert submit_feedback(site.client, account_id, verdict="won").status_code == 303


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_security_headers_and_obeys_them(site: WebFixture, path: str) -> None:
    """The policy rejects inline styles, scripts and handlers, and URLs of other hosts."""
    response = site.client.get(path)

    headers, page = response.headers, ParsedPage(response.text)
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "style" not in page.tags
    assert not [attributes for _, attributes in page.elements if "style" in attributes]
    assert not page.event_handlers
    assert not [link for link in page.links if str(link).startswith(("http", "//"))]


def test_the_colours_match_the_report_palette() -> None:
    sheet = (STATIC / "page.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[:2]

    for block, colours in ((light, svg.LIGHT), (dark, svg.DARK)):
        assert dict(re.findall(r"--([\w-]+): (#\w+);", block)) == colours


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_no_path_leaves_the_static_folder(site: WebFixture, path: str) -> None:
    with socket.create_connection(("127.0.0.1", site.client.base_url.port)) as sock:
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        response = b"".join(iter(lambda: sock.recv(65536), b""))

    assert response.startswith(b"HTTP/1.1 404")
    assert b"FastAPI" not in response


def test_a_form_that_is_too_large_is_rejected_unread(site: WebFixture) -> None:
    large = b"reason=" + b"x" * MAX_BODY_BYTES

    sized = site.client.post("/account?id=acc_00000", content=large)
    chunked = site.client.post("/account?id=acc_00000", content=iter([large[:50_000]] * 3))

    assert (sized.status_code, chunked.status_code) == (413, 413)


@pytest.mark.parametrize(
    "body", [b"[" * 50_000, b"{" * 60_000, b"a&" * 30_000, b"\xff\xfe\x00", b"%"]
)
def test_an_invalid_form_is_rejected(site: WebFixture, body: bytes) -> None:
    for path in ("/account?id=acc_00000", "/sign-in", "/sign-out"):
        assert site.client.post(path, content=body).status_code < 500


def test_an_unfinished_form_times_out(site: WebFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.web.middleware.BODY_TIMEOUT_SECONDS", 0.3)
    head = (
        "POST /account?id=acc_00000 HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 100\r\n\r\nreason"
    )
    with socket.create_connection(("127.0.0.1", site.client.base_url.port)) as sock:
        sock.settimeout(10)
        sock.sendall(head.encode())

        assert sock.recv(65536).startswith(b"HTTP/1.1 408")


@pytest.fixture
def small_send_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel buffer little of a response, so that the server waits for its client."""
    create = socket.create_server

    def create_server(*args: Any, **options: Any) -> socket.socket:
        created = create(*args, **options)
        created.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        return created

    monkeypatch.setattr(socket, "create_server", create_server)


def request_file(opened: WebFixture) -> socket.socket:
    """Request the list as a file, and read nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", opened.client.base_url.port))
    client.sendall(b"GET /list.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


@pytest.fixture
def export_files(monkeypatch: pytest.MonkeyPatch) -> list[IO[str]]:
    """Collect the temporary files of the exports, which are on disk from the first byte."""
    files: list[IO[str]] = []

    def create_file(*args: Any, **options: Any) -> IO[str]:
        files.append(SpooledTemporaryFile(1, *args[1:], **options))  # noqa: SIM115
        return files[-1]

    monkeypatch.setattr("serving.web.routes.list_page.SpooledTemporaryFile", create_file)
    return files


@pytest.mark.usefixtures("small_send_buffer")
def test_clients_that_read_nothing_do_not_block_others(
    tmp_path: Path, export_files: list[IO[str]]
) -> None:
    with open_web_fixture(tmp_path, count=400) as opened, ExitStack() as stack:
        for _ in range(20):  # more than the database has connections
            stack.enter_context(request_file(opened))
        wait_until(lambda: len(export_files) == 20)

        assert opened.client.get("/model", timeout=20).status_code == 200
        assert opened.get_text("/list.csv").count("\r\n") == 401


@pytest.mark.usefixtures("small_send_buffer")
def test_a_temporary_file_is_closed_when_the_client_leaves(
    tmp_path: Path, export_files: list[IO[str]]
) -> None:
    with open_web_fixture(tmp_path, count=400) as opened:
        client = request_file(opened)
        assert client.recv(1)
        assert not export_files[0].closed
        client.close()

        wait_until(lambda: export_files[0].closed)


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


@given(st.integers(1, 500), st.lists(st.floats(0, 90), max_size=60))
def test_the_token_bucket_limits_the_rate(per_minute: int, pauses: list[float]) -> None:
    now, taken = 0.0, 0
    bucket = TokenBucket(per_minute, clock=lambda: now)
    for pause in pauses:
        now += pause
        for _ in range(20):
            wait = bucket.take_token("one")
            taken += wait == 0
            assert wait <= 60 / per_minute + 1e-9

    assert taken <= per_minute + now * per_minute / 60 + 1e-6
    assert taken >= min(per_minute, 20 * len(pauses))
    assert bucket.take_token("another") == 0


def test_a_full_disk_answers_503_and_loses_nothing(tmp_path: Path) -> None:
    with open_web_fixture(tmp_path, count=5) as opened:
        page = opened.get_text("/account?id=acc_00001")
        form = {**read_hidden_fields(page), "verdict": "wrong", "reason": "x" * 900}

        @sa.event.listens_for(opened.engine, "begin")
        def _full(connection: sa.Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        codes = set()
        for index in range(30):
            data = {**form, "form_id": f"another-{index}"}
            codes.add(opened.client.post("/account?id=acc_00001", data=data).status_code)
        sa.event.remove(opened.engine, "begin", _full)

        assert codes == {303, 503}
        assert opened.client.get("/").status_code == 200


def test_a_missing_table_answers_503_and_recovers(site: WebFixture) -> None:
    with store.write_transaction(site.engine) as connection:
        connection.execute(sa.text("ALTER TABLE scores RENAME TO away"))
    responses = [site.client.get(path) for path in ("/", "/account?id=acc_00001")]
    with store.write_transaction(site.engine) as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO scores"))

    for response in responses:
        assert (response.status_code, response.headers["retry-after"]) == (503, "30")
        assert "no such table" not in response.text
    assert site.client.get("/").status_code == 200


@pytest.mark.slow
def test_a_hundred_idle_connections_do_not_block_others(site: WebFixture) -> None:
    port = site.client.base_url.port
    with ExitStack() as stack:
        for _ in range(100):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            idle.sendall(b"GET / HT")

        assert site.client.get("/").status_code == 200
