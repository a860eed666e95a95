"""A few accounts as they stand this moment: the same features, with today's events on top.

The as-of is the coming midnight: of a day that is not over, all that is known by now counts, and
the windows are those that a batch at that midnight would have. What the features of an account ask
of all others is that of the last weekly list.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Final

import narwhals as nw
import polars as pl

from data.config.settings import Roles, Seats, Settings
from data.ingest.table_loader import Tables
from data.schemas import ValidatedTable
from features.activity import daily_aggregates
from features.activity.daily_tables import Activity
from features.activity.scan import NAME_DTYPE, Aggregation
from features.panel import builder, feature_adoption
from features.panel.builder import Panel, ReferencePopulation

__all__ = ["append_events", "build_online", "build_reference_population", "next_midnight"]

_DERIVED_TABLES: Final = {
    "first_people": (daily_aggregates.first_seen_user, "people"),
    "first_features": (daily_aggregates.first_seen_feature, "volume"),
}


def next_midnight(day: date) -> datetime:
    """The as-of of a day that is not over: 00:00 UTC of the next."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def build_reference_population(
    log: Activity, tables: Tables, as_of: datetime, settings: Settings
) -> ReferencePopulation:
    """Gather what the features of a few accounts will ask of all others.

    Parameters
    ----------
    log, tables
        Of all accounts.
    as_of : datetime.datetime
        As-of of the last weekly list, 00:00 UTC; what was known later is not looked at.
    settings : data.config.settings.Settings
        As for :func:`features.panel.builder.build_panel`.
    """
    pairs = (
        log.first_uses.filter(pl.col("known_day") < as_of.date())
        .select("account_id", "feature")
        .unique()
        .collect(engine="streaming")
    )
    advanced = settings.adoption.advanced_features or tuple(
        sorted(feature_adoption.rarely_used_features(pairs, settings.adoption.advanced_max_share))
    )
    built = builder.build_panel(log, tables, [as_of], settings)
    (began,) = log.log_start_as_known([as_of])
    return ReferencePopulation(began or as_of.date(), advanced, built.peers)


def build_online(
    log: Activity,
    tables: Tables,
    events: pl.DataFrame,
    *,
    accounts: Sequence[str],
    day: date,
    settings: Settings,
    reference: ReferencePopulation,
) -> Panel:
    """Compute the features of a few accounts at a moment of a day.

    Parameters
    ----------
    log, tables
        Of all accounts, as the weekly job reads them.
    events : polars.DataFrame
        Rows under :class:`data.schemas.EventSchema` that are not in the log; those of other accounts
        are left out.
    accounts : sequence of str
        Which.
    day : datetime.date
        The day of the moment, UTC.
    settings : data.config.settings.Settings
        As for :func:`features.panel.builder.build_panel`.
    reference : features.panel.builder.ReferencePopulation
        From :func:`build_reference_population`.
    """
    some = pl.Series("account_id", sorted(set(accounts)), dtype=pl.String)
    tail = append_events(log, events, some, roles=settings.roles, seats=settings.seats)
    # People may use the product at another account than the one they are entered under.
    few = replace(
        tables,
        accounts=_select_accounts(tables.accounts, some),
        subscriptions=_select_accounts(tables.subscriptions, some),
    )
    return builder.build_panel(tail, few, [next_midnight(day)], settings, reference=reference)


def append_events(
    log: Activity, events: pl.DataFrame, accounts: pl.Series, *, roles: Roles, seats: Seats
) -> Activity:
    """Give the log of a few accounts, and on top of it events that are not in it.

    Parameters
    ----------
    log : features.activity.daily_tables.Activity
        Of all accounts.
    events : polars.DataFrame
        Rows under :class:`data.schemas.EventSchema`.
    accounts : polars.Series
        Which.
    roles, seats
        As for :func:`features.activity.daily_aggregates.classify_events`.
    """
    rows = events.filter(pl.col("account_id").is_in(accounts.implode()))
    named = daily_aggregates.classify_events(nw.from_native(rows.lazy()), roles=roles, seats=seats)
    made = {
        name: table(named).to_native().collect()
        for name, table in (
            ("people", daily_aggregates.daily_user_activity),
            ("volume", daily_aggregates.daily_event_volume),
            ("first_uses", daily_aggregates.first_seen_user_feature),
        )
    }
    for name, (table, of) in _DERIVED_TABLES.items():
        made[name] = table(nw.from_native(made[of].lazy())).to_native().collect()
    names = accounts.cast(NAME_DTYPE).implode()
    whole = {}
    for name, found in made.items():
        lazy: pl.LazyFrame = getattr(log, name)
        kinds = lazy.collect_schema()
        whole[name] = found.select(pl.col(column).cast(kind) for column, kind in kinds.items())

    def aggregate(
        table: str, key: Sequence[str], aggregation: Aggregation, *, since: date | None = None
    ) -> pl.DataFrame:
        # The log's engine finds the accounts' rows; few enough to be folded here.
        held = log.aggregate(table, key, partial(_filter_accounts, names=names), since=since)
        late = whole[table] if since is None else whole[table].filter(pl.col("day") >= since)
        return aggregation(pl.concat([held, late]).lazy())

    tables = {
        name: pl.concat([getattr(log, name).filter(pl.col("account_id").is_in(names)), late.lazy()])
        for name, late in whole.items()
    }
    return replace(log, aggregate=aggregate, **tables)


def _filter_accounts(rows: pl.LazyFrame, *, names: pl.Series) -> pl.DataFrame:
    return rows.filter(pl.col("account_id").is_in(names)).collect(engine="streaming")


def _select_accounts(table: ValidatedTable, accounts: pl.Series) -> ValidatedTable:
    return replace(table, rows=table.rows.filter(pl.col("account_id").is_in(accounts.implode())))
