"""Online (intraday) features of a few accounts: batch features plus today's events.

The as-of is the next midnight: events of the current day count as far as known, and the windows are
those of a batch run at that midnight. Inputs that depend on all other accounts come from the last
weekly list.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import narwhals as nw
import polars as pl

from data.config.settings import RolesConfig, SeatsConfig, Settings
from data.ingest.table_loader import Tables
from data.schemas import ValidatedTable
from features.activity import daily_aggregates
from features.activity.daily_tables import Activity
from features.activity.scan import NAME_DTYPE, Aggregation
from features.activity.tasks import TABLE_SPECS
from features.panel import builder, feature_adoption
from features.panel.builder import Panel, ReferencePopulation

__all__ = ["append_events", "build_online", "build_reference_population", "get_next_midnight"]


def get_next_midnight(day: date) -> datetime:
    """Return the as-of of a day in progress: 00:00 UTC of the next day."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def build_reference_population(
    log: Activity, tables: Tables, as_of: datetime, settings: Settings
) -> ReferencePopulation:
    """Build the inputs that the features of a few accounts take from all accounts.

    The as-of is that of the last weekly list, 00:00 UTC; rows known later are not used.
    """
    pairs = (
        log.first_uses.filter(pl.col("known_day") < as_of.date())
        .select("account_id", "feature")
        .unique()
        .collect(engine="streaming")
    )
    advanced = settings.adoption.advanced_features or tuple(
        sorted(feature_adoption.find_rarely_used_features(pairs))
    )
    panel = builder.build_panel(log, tables, [as_of], settings)
    (log_first_day,) = log.find_log_starts([as_of])
    return ReferencePopulation(log_first_day or as_of.date(), advanced, panel.peers)


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
    """Compute the features of a few accounts during a day.

    Log and tables are of all accounts, as the weekly job reads them. ``events`` are rows of
    :class:`data.schemas.EventSchema` that are not in the log; those of other accounts are left out.
    ``day`` is the current day, UTC.
    """
    selected = pl.Series("account_id", sorted(set(accounts)), dtype=pl.String)
    extended_log = append_events(log, events, selected, roles=settings.roles, seats=settings.seats)
    # Users may be active in another account than the one they belong to.
    selected_tables = replace(
        tables,
        accounts=_select_accounts(tables.accounts, selected),
        subscriptions=_select_accounts(tables.subscriptions, selected),
    )
    return builder.build_panel(
        extended_log,
        selected_tables,
        [get_next_midnight(day)],
        settings,
        months=True,
        reference=reference,
    )


def append_events(
    log: Activity,
    events: pl.DataFrame,
    accounts: pl.Series,
    *,
    roles: RolesConfig,
    seats: SeatsConfig,
) -> Activity:
    """Return the log of a few accounts with rows of the event schema appended."""
    rows = events.filter(pl.col("account_id").is_in(accounts.implode()))
    classified = daily_aggregates.classify_events(
        nw.from_native(rows.lazy()), roles=roles, seats=seats
    )
    names = accounts.cast(NAME_DTYPE).implode()
    new_rows: dict[str, pl.DataFrame] = {}
    for file, spec in TABLE_SPECS.items():
        source = (
            classified
            if spec.source is None
            else nw.from_native(new_rows[spec.source.removesuffix(".parquet")].lazy())
        )
        plan = spec.build(source).to_native()
        columns = [pl.col(column).cast(dtype) for column, dtype in spec.schema.items()]
        new_rows[file.removesuffix(".parquet")] = plan.select(columns).collect()

    def aggregate(
        table: str, key: Sequence[str], aggregation: Aggregation, *, since: date | None = None
    ) -> pl.DataFrame:
        # The log's engine filters the accounts' rows; they are few enough to aggregate here.
        log_rows = log.aggregate(table, key, partial(_filter_accounts, names=names), since=since)
        appended = (
            new_rows[table] if since is None else new_rows[table].filter(pl.col("day") >= since)
        )
        return aggregation(pl.concat([log_rows, appended]).lazy())

    tables = {
        name: pl.concat(
            [getattr(log, name).filter(pl.col("account_id").is_in(names)), appended.lazy()]
        )
        for name, appended in new_rows.items()
    }
    return replace(log, aggregate=aggregate, **tables)


def _filter_accounts(rows: pl.LazyFrame, *, names: pl.Series) -> pl.DataFrame:
    return rows.filter(pl.col("account_id").is_in(names)).collect(engine="streaming")


def _select_accounts(table: ValidatedTable, accounts: pl.Series) -> ValidatedTable:
    return replace(table, rows=table.rows.filter(pl.col("account_id").is_in(accounts.implode())))
