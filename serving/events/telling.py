"""A signal that fired: its account is scored anew, and put down for the CRM, in one transaction.

The line is made by the weekly job's own functions, from the same features and the same model. Ranks
stay those of the last list. Only the account that fired, the opportunity and the tasks of its
episode are touched; what they were, the outbox knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from data.settings import Settings
from features import moment
from features.panel import Panel
from serving import promises, score, state
from serving.events import arrivals, putting
from serving.events.ground import Ground
from serving.events.tables import SIGNALS
from serving.events.words import sentence
from serving.lines import changes, phrases
from serving.outbox import levels
from serving.outbox.levels import Levels
from serving.state import lists
from serving.triggers import LEVELS

__all__ = ["tell"]

_KEY: Final = ("account_id", "limit", "number")


def tell(
    engine: sa.Engine,
    settings: Settings,
    ground: Ground,
    signals: Sequence[Mapping[str, Any]],
    *,
    target: str,
    position: int,
    now: datetime,
) -> int:
    """Score the accounts of signals anew, and put down what should be true at the CRM.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database.
    settings : data.settings.Settings
        As for :func:`serving.score.score`.
    ground : serving.events.ground.Ground
        Tables, log and model.
    signals : sequence of mapping
        Rows of :func:`serving.events.kept.to_tell`.
    target : str
        Name of the CRM.
    position : int
        Arrivals beyond it are not looked at.
    now : datetime.datetime
        The clock, UTC.

    Returns
    -------
    int
        How many objects were put down. A signal whose account is not eligible has none, and it is
        noted.

    Raises
    ------
    data.errors.ExpansionError
        If the database refuses, or the model does not fit.
    """
    accounts = sorted({signal["account_id"] for signal in signals})
    with state.reading(engine) as connection:
        events = arrivals.frame(
            connection, ground.workspaces, accounts, ground.covered, up_to=position
        )
    built = moment.build(
        ground.log,
        ground.tables,
        events,
        accounts=accounts,
        day=now.date(),
        settings=settings,
        beside=ground.beside,
    )
    day = now.date()
    lines = _lines(engine, settings, ground, built, signals=signals, day=day)
    contracts = _levels(ground, settings, day, accounts)
    notes = _notes(lines, built.excluded, signals, now)
    while True:
        with state.reading(engine) as connection:
            plan = putting.planned(connection, lines, contracts, target=target, day=day)
        # Short, for whoever takes events waits for it.
        with state.writing(engine) as connection:
            state.alone(connection, "expansion list")
            if putting.put(connection, plan, target=target, day=day):
                for here, values in notes:
                    connection.execute(sa.update(SIGNALS).where(here).values(values))
                return len(plan.objects)


def _lines(
    engine: sa.Engine,
    settings: Settings,
    ground: Ground,
    built: Panel,
    *,
    signals: Sequence[Mapping[str, Any]],
    day: date,
) -> pl.DataFrame:
    """The lines of the accounts as of today, without places; what is new comes first."""
    if built.snapshots.is_empty():
        return pl.DataFrame(schema={"account_id": pl.String})
    before, midnight = lists.before(engine, day), moment.as_of(day)
    urging = {each["account_id"]: each["limit"] for each in signals if each["level"] in LEVELS[1:]}
    lines = score.said(
        ground.model,
        built,
        ground.tables.subscriptions.rows,
        datetime.combine(day, time(), UTC),
        settings,
        heard_before=midnight,
        promised=promises.standing(engine, midnight.date()),
        worked=lists.worked(engine, midnight.date(), days=settings.playbook.rest_days),
        not_now=lists.not_now(engine, midnight.date()),
        pressed=urging,
    )
    names = ground.tables.accounts.rows.select("account_id", "name", "csm", "crm_id")
    lines = lines.drop("standing", "as_of").join(
        names, on="account_id", how="left", maintain_order="left"
    )
    said = {each["account_id"]: sentence(each) for each in signals}
    first = lines["account_id"].replace_strict(said, return_dtype=pl.String)
    news = changes.of(lines, before, day, phrases.of(settings.scoring.phrases))
    return lines.with_columns(
        changed=pl.concat_list(first, news.alias("news")),
        expansion_signal=pl.coalesce(
            "expansion_signal",
            lines["account_id"].replace_strict(_tags(signals), return_dtype=pl.String),
        ),
    )


def _tags(signals: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What an account is tagged with where no tier fires."""
    return {each["account_id"]: f"{each['limit']}: {each['level']}" for each in signals}


def _notes(
    lines: pl.DataFrame,
    excluded: pl.DataFrame,
    signals: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[tuple[sa.ColumnElement[bool], dict[str, Any]]]:
    """What is noted with each signal: what was said, or why nothing was."""
    said = {row["account_id"]: row for row in _readable(lines).iter_rows(named=True)}
    why = dict(excluded.select("account_id", "reason").iter_rows())
    notes = []
    for signal in signals:
        account = signal["account_id"]
        here = sa.and_(*(SIGNALS.c[name] == signal[name] for name in _KEY))
        values = {
            "told_level": signal["level"],
            "told_at": now,
            "line": said.get(account),
            "words": sentence(signal) if account in said else why.get(account, "unknown account"),
        }
        if account not in said:
            values["posted_level"] = signal["level"]
        notes.append((here, values))
    return notes


def _levels(
    ground: Ground, settings: Settings, day: date, accounts: Sequence[str]
) -> Mapping[str, Levels]:
    """The contracts of some accounts as of the coming midnight."""
    rows = ground.tables.subscriptions.rows
    return levels.at(
        rows.filter(pl.col("account_id").is_in(accounts)),
        moment.as_of(day),
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )


def _readable(lines: pl.DataFrame) -> pl.DataFrame:
    """What JSON takes of a line, without what only a chart needs."""
    days = [name for name, kind in lines.schema.items() if kind == pl.Date]
    shown = lines.drop("curve", "contributions", strict=False)
    return shown.with_columns(pl.col(days).cast(pl.String))
