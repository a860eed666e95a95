"""The page on a real PostgreSQL says what it says on SQLite, address by address."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from test_list import CHOICES, fits, key
from web_office import MONDAY, Office, answered, office, raised

from serving import store
from serving.store.schema import ACCOUNT_TOUCHES, FEEDBACK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[tuple[Office, Office]]:
    """The same company twice; PostgreSQL's sessions live in another zone."""
    admin = sa.create_engine(_driver(postgres), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE page"))
        connection.execute(sa.text("ALTER DATABASE page SET timezone TO 'Asia/Kathmandu'"))
    url = admin.url.set(database="page").render_as_string(hide_password=False)
    with (
        office(tmp_path_factory.mktemp("lite")) as lite,
        office(tmp_path_factory.mktemp("post"), database=url) as post,
    ):
        for each in (lite, post):
            raised(each.engine, "acc_00002", level="urgent", at=MONDAY)
            raised(each.engine, "acc_00004", level="nudge", at=MONDAY - timedelta(days=7))
            raised(each.engine, "acc_00005", level="nudge", at=MONDAY - timedelta(days=8))
            raised(each.engine, "acc_00007", level="urgent", at=MONDAY, closed=MONDAY)
            for account, said in (
                ("acc_00002", {"verdict": "not now", "until": "2026-07-01"}),
                ("acc_00002", {"verdict": "contacted", "why": "Zoë “rang”, 15 % – ok?"}),
                ("acc_00003", {"verdict": "wrong", "why": "=they left"}),
                ("acc_00003", {"verdict": "won"}),
            ):
                assert answered(each.browser, account, **said).is_redirect
        yield lite, post
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE page WITH (FORCE)"))
    admin.dispose()


def _driver(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")


def _text(page: str) -> str:
    """A page without what is of one form only."""
    return re.sub(r'name="(seal|once)" value="[^"]*"', "", page)


@given(asked=CHOICES)
@settings(deadline=None, max_examples=60)
def test_the_list_is_the_slow_one_and_its_file_is_the_same(
    both: tuple[Office, Office], asked: dict[str, str]
) -> None:
    lite, post = both
    wanted = [row for place, row in enumerate(post.rows) if fits(row, place, asked)]

    page = post.text("/", params=asked)

    ids = [row["account_id"] for row in sorted(wanted, key=lambda row: key(row, asked))]
    assert re.findall(r'href="/account\?id=(\w+)"', page) == ids[:50]
    assert page == lite.text("/", params=asked)
    assert post.text("/list.csv", params=asked) == lite.text("/list.csv", params=asked)


@pytest.mark.parametrize(
    "path",
    [
        "/?page=2",
        "/?page=9",
        "/?when=signal",
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
def test_an_address_answers_the_same(both: tuple[Office, Office], path: str) -> None:
    lite, post = (each.browser.get(path) for each in both)

    assert post.status_code == lite.status_code
    assert _text(post.text) == _text(lite.text)


def test_answers_are_kept_the_same(both: tuple[Office, Office]) -> None:
    kept: list[list[Any]] = []
    for each in both:
        with store.read_transaction(each.engine) as connection:
            said = connection.execute(
                sa.select(FEEDBACK.c.account_id, FEEDBACK.c.verdict, FEEDBACK.c.until).order_by(
                    FEEDBACK.c.id
                )
            ).all()
            worked = connection.execute(
                sa.select(ACCOUNT_TOUCHES).order_by(ACCOUNT_TOUCHES.c.account_id)
            ).all()
        kept.append([*said, *worked])

    assert kept[0] == kept[1]
    assert ("acc_00002", "not now", date(2026, 7, 1)) in kept[1]


def test_what_no_text_of_postgresql_can_hold_is_refused_not_broken(
    both: tuple[Office, Office], tmp_path: Path
) -> None:
    _, post = both

    for path in ("/?q=a%00b", "/account?id=a%00b", "/?csm=%00", "/?segment=%ff%00"):
        assert post.browser.get(path).status_code in {200, 404, 422}, path
    answer = answered(post.browser, "acc_00009", verdict="won", why="a\0b")
    assert answer.status_code in {303, 422}
