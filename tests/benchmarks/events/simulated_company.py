"""A simulated company whose log ends with the last month, with a model and a first list."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from data import simulator
from serving import store
from serving.store.event_schema import ALERTS, CONSUMER_OFFSETS, THRESHOLD_STATES, WEBHOOK_EVENTS

WEBHOOK_SETTINGS = """
[webhooks]
generic_secret = "${BENCH_SECRET}"
[web]
webhook_requests_per_minute = 1000000
"""


def prepare_company(folder: Path, accounts: int, months: int) -> Path:
    """Return the settings file of the company; build the company unless it is complete."""
    config = folder / "expansion.toml"
    marker = folder / "scored"
    if not marker.exists():
        first_of_month = date.today().replace(day=1)  # noqa: DTZ011 - local date of this machine
        simulator.write_company(
            folder, accounts=accounts, months=months, seed=7, end=first_of_month
        )
        for arguments in (["train", "--no-promote"], ["promote", "--force", "for the bench"]):
            run_command(config, *arguments)
        config.write_text(
            config.read_text()
            .replace('as_of = "data end"', 'as_of = "today"')
            .replace("[tables]", "[scoring]\nmax_log_age_days = 60\n\n[tables]")
        )
        run_command(config, "score")
        with config.open("a") as file:
            file.write(WEBHOOK_SETTINGS)
        marker.touch()
    return config


def run_command(config: Path, command: str, *arguments: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("expansion"), command, "-c", config, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def clear_event_tables(engine: sa.Engine) -> None:
    """Delete the rows of an earlier benchmark."""
    with store.write_transaction(engine) as connection:
        for table in (WEBHOOK_EVENTS, ALERTS, CONSUMER_OFFSETS, THRESHOLD_STATES):
            connection.execute(sa.delete(table))


def count_rows(engine: sa.Engine, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(*conditions)
    with store.read_transaction(engine) as connection:
        return connection.scalar(query) or 0


def count_unprocessed(engine: sa.Engine) -> int:
    """Count events that the consumer has not processed yet."""
    with store.read_transaction(engine) as connection:
        last = connection.scalar(sa.select(sa.func.max(WEBHOOK_EVENTS.c.id))) or 0
        return last - (connection.scalar(sa.select(CONSUMER_OFFSETS.c.position)) or 0)
