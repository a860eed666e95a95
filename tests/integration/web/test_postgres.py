"""The pages on a real PostgreSQL equal those on SQLite, URL by URL."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings

from serving import store
from serving.store.schema import ACCOUNT_TOUCHES, FEEDBACK
from tests.integration.web.test_list import CHOICES, matches, sort_key
from tests.integration.web.web_client import (
    MONDAY,
    WebFixture,
    insert_alert,
    open_web_fixture,
    submit_feedback,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[tuple[WebFixture, WebFixture]]:
    """Yield the same company twice; PostgreSQL's session time zone differs from UTC."""
    admin = sa.create_engine(
        postgres.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE page"))
        connection.execute(sa.text("ALTER DATABASE page SET timezone TO 'Asia/Kathmandu'"))
    url = admin.url.set(database="page").render_as_string(hide_password=False)
    with (
        open_web_fixture(tmp_path_factory.mktemp("lite")) as sqlite_site,
        open_web_fixture(tmp_path_factory.mktemp("post"), database=url) as postgres_site,
    ):
        for each in (sqlite_site, postgres_site):
            insert_alert(each.engine, "acc_00002", severity="urgent", at=MONDAY)
            insert_alert(each.engine, "acc_00004", severity="nudge", at=MONDAY - timedelta(days=7))
            insert_alert(each.engine, "acc_00005", severity="nudge", at=MONDAY - timedelta(days=8))
            insert_alert(each.engine, "acc_00007", severity="urgent", at=MONDAY, closed=MONDAY)
            for account, fields in (
                ("acc_00002", {"verdict": "not now", "snoozed_until": "2026-07-01"}),
                ("acc_00002", {"verdict": "contacted", "reason": "Zoë “rang”, 15 % – ok?"}),
                ("acc_00003", {"verdict": "wrong", "reason": "=they left"}),
                ("acc_00003", {"verdict": "won"}),
            ):
                assert submit_feedback(each.client, account, **fields).is_redirect
        yield sqlite_site, postgres_site
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE page WITH (FORCE)"))
    admin.dispose()


def _text(page: str) -> str:
    """Return a page without its CSRF token and form id."""
    return re.sub(r'name="(csrf_token|form_id)" value="[^"]*"', "", page)


@given(filters=CHOICES)
@settings(deadline=None, max_examples=60)
def test_the_list_agrees_with_a_slow_version_on_postgresql(
    both: tuple[WebFixture, WebFixture], filters: dict[str, str]
) -> None:
    sqlite_site, postgres_site = both
    expected = [row for index, row in enumerate(postgres_site.rows) if matches(row, index, filters)]

    page = postgres_site.get_text("/", params=filters)

    ids = [row["account_id"] for row in sorted(expected, key=lambda row: sort_key(row, filters))]
    assert re.findall(r'href="/account\?id=(\w+)"', page) == ids[:50]
    assert page == sqlite_site.get_text("/", params=filters)
    assert postgres_site.get_text("/list.csv", params=filters) == sqlite_site.get_text(
        "/list.csv", params=filters
    )


@pytest.mark.parametrize(
    "path",
    [
        "/?page=2",
        "/?page=9",
        "/?when=alert",
        "/?q=acc_0000",
        "/?q=%25",
        "/?sort=name",
        "/account?id=acc_00002",
        "/account?id=acc_00003",
        "/account?id=acc_00007",
        "/account?id=gone",
        "/account?id=nobody",
        "/model",
        "/runs",
        "/feedback.csv",
        "/health",
    ],
)
def test_a_url_answers_the_same(both: tuple[WebFixture, WebFixture], path: str) -> None:
    sqlite_site, postgres_site = (each.client.get(path) for each in both)

    assert postgres_site.status_code == sqlite_site.status_code
    assert _text(postgres_site.text) == _text(sqlite_site.text)


def test_feedback_is_stored_the_same(both: tuple[WebFixture, WebFixture]) -> None:
    columns = (FEEDBACK.c.account_id, FEEDBACK.c.verdict, FEEDBACK.c.snoozed_until)
    touches = sa.select(ACCOUNT_TOUCHES).order_by(ACCOUNT_TOUCHES.c.account_id)
    for query in (sa.select(*columns).order_by(FEEDBACK.c.id), touches):
        on_sqlite, on_postgres = (store.fetch_rows(each.engine, query) for each in both)

        assert on_sqlite == on_postgres != []


def test_text_that_postgresql_cannot_store_is_rejected(
    both: tuple[WebFixture, WebFixture], tmp_path: Path
) -> None:
    _, postgres_site = both

    for path in ("/?q=a%00b", "/account?id=a%00b", "/?csm=%00", "/?segment=%ff%00"):
        assert postgres_site.client.get(path).status_code in {200, 404, 422}, path
    response = submit_feedback(postgres_site.client, "acc_00009", verdict="won", reason="a\0b")
    assert response.status_code in {303, 422}
