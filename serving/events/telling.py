"""A signal that fired: its account is scored anew, and put down for the CRM, in one transaction.

The line is made by the weekly job's own functions, from the same features and the same model. Ranks
stay those of the last list. Only the account that fired, the opportunity and the tasks of its
episode are touched; what they were, the outbox knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from data.settings import Settings
from features import moment
from features.panel import Panel
from serving import score, state
from serving.events import arrivals
from serving.events.ground import Ground
from serving.events.tables import SIGNALS
from serving.events.words import sentence
from serving.lines import changes, phrases
from serving.outbox import kept as outbox
from serving.outbox import levels, wanted
from serving.outbox.episodes import Episode, pressed
from serving.outbox.follow_ups import of_episodes
from serving.outbox.levels import Levels
from serving.outbox.wanted import Wanted
from serving.state import lists
from serving.state.schema import RUNS
from serving.triggers import LEVELS

__all__ = ["tell"]

_RANKS: Final = ("rank", "book_rank", "this_week")
_FIRST: Final = 0  # place in the outbox: before every list


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
    lines = _lines(engine, settings, ground, built, signals=signals, day=now.date())
    told = not lines.is_empty()
    with state.writing(engine) as connection:
        state.alone(connection, "expansion list")
        objects = (
            _put(connection, settings, ground, lines, target=target, day=now.date()) if told else 0
        )
        _settle(connection, lines, built.excluded, signals, now)
    return objects


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
    before = lists.before(engine, day)
    urging = {each["account_id"]: each["limit"] for each in signals if each["level"] in LEVELS[1:]}
    lines = score.said(
        ground.model,
        built,
        datetime.combine(day, time(), UTC),
        settings,
        before=before,
        worked=lists.worked(engine, moment.as_of(day).date(), days=settings.playbook.rest_days),
        not_now=lists.not_now(engine, day),
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


def _put(
    connection: sa.Connection,
    settings: Settings,
    ground: Ground,
    lines: pl.DataFrame,
    *,
    target: str,
    day: date,
) -> int:
    """Put down the accounts, their episodes, and the opportunities and tasks of these."""
    accounts = lines["account_id"].to_list()
    earlier = outbox.of_accounts(connection, target, accounts)
    placed = _placed(lines, {key: fields for (_, key), fields in earlier.items()})
    objects = [
        replace(each, place=_FIRST) for each in wanted.of_accounts(placed, placed.clear(), day)
    ]
    told = {each.key: each.fields for each in objects}
    before = outbox.episodes(connection, accounts)
    after = _episodes(before, lines, _levels(ground, settings, day, accounts), day)
    open_now = [each for each in after if each.ending is None]
    follow: list[Wanted] = [
        replace(each, place=_FIRST) for each in of_episodes(open_now, told, earlier, day)
    ]
    run = connection.scalar(sa.select(sa.func.max(RUNS.c.id))) or 0
    outbox.keep(connection, before, after)
    outbox.renew(connection, target, [*objects, *follow], day, run)
    return len(objects) + len(follow)


def _placed(lines: pl.DataFrame, earlier: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Give each line its place on the last list; null where it was not on it."""
    places = [
        {name: earlier.get(account, {}).get(name) for name in _RANKS}
        for account in lines["account_id"]
    ]
    schema = {"rank": pl.Int64, "book_rank": pl.Int64, "this_week": pl.Boolean}
    return pl.concat([lines, pl.DataFrame(places, schema=schema)], how="horizontal")


def _episodes(
    before: Sequence[Episode], lines: pl.DataFrame, contracts: Mapping[str, Levels], day: date
) -> list[Episode]:
    after = list(before)
    rows = lines.filter(pl.col("tier").is_not_null(), pl.col("limit") != "none")
    for account, limit, ask in rows.select("account_id", "limit", "ask").iter_rows():
        place = (account, limit)
        mine = [each for each in after if (each.account_id, each.limit) == place]
        after = [each for each in after if (each.account_id, each.limit) != place]
        after += pressed(mine, place, contracts.get(account, Levels()), day, ask=bool(ask))
    return after


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


def _settle(
    connection: sa.Connection,
    lines: pl.DataFrame,
    excluded: pl.DataFrame,
    signals: Sequence[Mapping[str, Any]],
    now: datetime,
) -> None:
    """Note with each signal what was said, or why nothing was."""
    said = {row["account_id"]: row for row in _readable(lines).iter_rows(named=True)}
    why = dict(excluded.select("account_id", "reason").iter_rows())
    for signal in signals:
        account = signal["account_id"]
        table = SIGNALS.c
        here = (
            (table.account_id == account)
            & (table.limit == signal["limit"])
            & (table.number == signal["number"])
        )
        values = {
            "told_level": signal["level"],
            "told_at": now,
            "line": said.get(account),
            "words": sentence(signal) if account in said else why.get(account, "unknown account"),
        }
        if account not in said:
            values["posted_level"] = signal["level"]
        connection.execute(sa.update(SIGNALS).where(here).values(values))


def _readable(lines: pl.DataFrame) -> pl.DataFrame:
    """What JSON takes of a line, without what only a chart needs."""
    days = [name for name, kind in lines.schema.items() if kind == pl.Date]
    shown = lines.drop("curve", "contributions", strict=False)
    return shown.with_columns(pl.col(days).cast(pl.String))
