"""Attack target: a small company of three portfolios, its tokens and secrets."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.config import settings
from serving import store
from serving.store.schema import FEEDBACK
from tests.integration.web import web_client

LISTED_ACCOUNTS = 3_000
MONITORED_ACCOUNTS = 60  # accounts with a log and a contract, so that the consumer has work
SEATS = 10
HOSTILE_NAMES = (
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
    """A company and its credentials."""

    config: Path
    rows: list[dict[str, Any]] = field(repr=False)
    tokens: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)

    @cached_property
    def engine(self) -> sa.Engine:
        """Separate database engine for the assertions."""
        return store.open_engine(settings.load_settings(self.config).database_url)

    @property
    def monitored(self) -> list[str]:
        return [row["account_id"] for row in self.rows[-MONITORED_ACCOUNTS:]]

    def list_portfolio(self, csm: str | None) -> list[str]:
        """Return the accounts of a portfolio."""
        return [row["account_id"] for row in self.rows if row["csm"] == csm]

    @property
    def hostile(self) -> list[str]:
        """Accounts with hostile names or ids, all in Ada's portfolio."""
        return [row["account_id"] for row in self.rows[: 2 * len(HOSTILE_NAMES)]]


def build_target(folder: Path, url: str | None = None) -> Target:
    """Write tables, settings and a list; to the database at ``url``, or to SQLite."""
    folder.mkdir(parents=True)
    tokens = {name: secrets.token_urlsafe(24) for name in ("lead", "Ada", "Ben")}
    signing_secrets = {source: secrets.token_urlsafe(24) for source in ("segment", "generic")}
    credentials = tokens | signing_secrets
    os.environ |= {f"ATTACK_{name.upper()}": value for name, value in credentials.items()}
    rows = build_rows()
    write_tables(folder, [row["account_id"] for row in rows[-MONITORED_ACCOUNTS:]])
    config = folder / "expansion.toml"
    config.write_text(SETTINGS + (f'[database]\nurl = "{url}"\n' if url else ""))
    target = Target(config, rows, tokens, signing_secrets)
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    web_client.write_list(target.engine, rows, monday)
    with store.write_transaction(target.engine) as connection:
        connection.execute(
            sa.insert(FEEDBACK).values(
                form_id="before-the-attack",
                account_id=target.list_portfolio("Ben")[0],
                as_of=monday,
                verdict="wrong",
                reason="of-book-Ben: a secret",
                created_at=datetime.now(UTC),
                created_by="Ben",
            )
        )
    return target


def build_rows() -> list[dict[str, Any]]:
    """Build list rows whose names state their portfolio, some with hostile names and ids."""
    rows = web_client.build_rows(LISTED_ACCOUNTS)
    for index, row in enumerate(rows):
        row["name"] = f"{row['name']} of-book-{row['csm'] or 'nobody'}"
        if index < 2 * len(HOSTILE_NAMES):
            row["csm"], evil = "Ada", HOSTILE_NAMES[index % len(HOSTILE_NAMES)]
            row["name"] = evil
            if index >= len(HOSTILE_NAMES):
                row["account_id"] = f"{evil}{index}"
    return rows


def write_tables(folder: Path, accounts: list[str]) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=day) for day in range(2, 200, 9)]
    write_csv(
        folder / "accounts.csv",
        ("account_id", "created_date", "name", "csm"),
        [
            (each, "2025-01-01", HOSTILE_NAMES[n % len(HOSTILE_NAMES)], "Ada")
            for n, each in enumerate(accounts)
        ],
    )
    write_csv(
        folder / "subscriptions.csv",
        ("account_id", "effective_date", "licensed_seats", "usage_limit", "plan", "mrr", "status"),
        [(each, "2025-01-01", SEATS, None, "team", 100, "paid") for each in accounts],
    )
    write_csv(
        folder / "events.csv",
        ("account_id", "user_id", "timestamp", "event", "feature", "event_id"),
        [
            (each, f"{each}-{user}", day.isoformat(), "view", "reports", f"{each}-{user}-{day:%j}")
            for each in accounts
            for user in range(3)
            for day in days
        ],
    )


def write_csv(file: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    pl.DataFrame(rows, schema=names, orient="row").write_csv(file)
