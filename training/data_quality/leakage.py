"""Target-leakage check: columns that predict the label implausibly well.

A temporal split cannot detect an attribute that holds today's value, or a date that the sale
changed without a trace. Their sign is that, in months with known labels, a single column separates
expansions from the rest almost without error.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from data.config.settings import MONTH_DAYS, OutcomeConfig, Settings
from data.ingest.table_loader import Tables
from data.schemas import REQUIRED_COLUMNS
from features.activity.daily_tables import Activity
from training.data_quality.leakage_score import (
    LABEL_COLUMN,
    MIN_POSITIVES,
    find_implausible_columns,
)
from training.labels import build_outcomes, expansion_label

__all__ = ["find_leaky_columns", "sample_as_of_dates"]

MAX_AS_OF_DATES: Final = 6
_MAX_VALUES: Final = 20
_MAX_EVENT_NAMES: Final = 50
_ADVICE: Final = {
    "accounts": "it holds today's value, probably written by the sale; the model does not use it,"
    " but do not rely on it elsewhere either",
    "users": "it is probably changed by the sale; remove it from tables.time_invariant_attributes",
    "events": "it is probably written or backdated by the sale; add a known_at to such rows, or"
    " exclude them from the log",
    "features": "one of its inputs is probably changed by the sale; check the source of its dates"
    " before you rely on any metric",
}


def sample_as_of_dates(as_of: datetime, first: datetime, rules: OutcomeConfig) -> list[datetime]:
    """Sample a few past as-ofs with complete windows, spaced so that no expansion counts twice.

    Returns at most six, the latest first, none before ``first``, the start of the log plus its
    burn-in. All are whole months before ``as_of``, 00:00 UTC, so that one aggregation of the log
    serves them.
    """
    newest, spacing = _compute_label_grid(as_of, rules)
    chosen = [newest - number * spacing for number in range(MAX_AS_OF_DATES)]
    return [as_of_date for as_of_date in chosen if as_of_date >= first]


def find_leaky_columns(
    snapshots: pl.DataFrame,
    tables: Tables,
    activity: Activity,
    contracts: pl.DataFrame,
    as_of: datetime,
    *,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Find the columns that separate expansions from the rest implausibly well.

    Tested are the features of ``snapshots``, taken at :func:`sample_as_of_dates`, the attributes of
    accounts and users, and event names by their number of events before an as-of. Labels use only
    data known before ``as_of``.

    Returns
    -------
    list of dict
        ``table``, the keys of :func:`~training.data_quality.leakage_score.find_implausible_columns`
        and ``advice``; highest AUROC first.
    """
    rules = settings.outcome
    labelled = _label_snapshots(snapshots.select("account_id", "as_of"), contracts, as_of, rules)
    features = snapshots.join(labelled, on=["account_id", "as_of"]).drop("as_of")
    attributes = {
        "accounts": tables.accounts.rows.drop(REQUIRED_COLUMNS["accounts"][1:]),
        "users": _compute_value_shares(
            tables.users.rows, settings.tables.time_invariant_attributes
        ),
    }
    # The latest window by itself, since an attribute may be reset some months after the sale.
    newest_window = labelled.filter(pl.col("as_of") == pl.col("as_of").max()).drop("as_of")
    findings = [
        *_list_findings("features", features),
        *_list_findings("events", _count_event_names(activity, labelled, rules)),
    ]
    for label in (_label_accounts_ever(contracts, as_of, rules), newest_window):
        for table, columns in attributes.items():
            findings += _list_findings(table, columns.join(label, on="account_id"))
    strongest = {(item["table"], item["column"]): item for item in sorted(findings, key=_sort_key)}
    return sorted(strongest.values(), key=_sort_key, reverse=True)


def _sort_key(item: dict[str, Any]) -> tuple[float, str, str]:
    return item["auroc"], item["table"], item["column"]


def _compute_label_grid(as_of: datetime, rules: OutcomeConfig) -> tuple[datetime, timedelta]:
    """Return the latest as-of with a complete window, and the spacing of the sampled as-ofs."""
    label_days = rules.horizon_days + rules.booking_lag_days + rules.revert_days
    return as_of - _round_up_to_months(label_days), _round_up_to_months(rules.horizon_days)


def _round_up_to_months(days: int) -> timedelta:
    return timedelta(days=-(-days // MONTH_DAYS) * MONTH_DAYS)


def _label_snapshots(
    keys: pl.DataFrame, contracts: pl.DataFrame, as_of: datetime, rules: OutcomeConfig
) -> pl.DataFrame:
    """Return the snapshots with a matured label."""
    labels = build_outcomes(keys, contracts, cutoff=as_of, rules=rules)
    label = expansion_label(rules.horizon_days).alias(LABEL_COLUMN)
    return labels.select("account_id", "as_of", label).drop_nulls()


def _label_accounts_ever(
    contracts: pl.DataFrame, as_of: datetime, rules: OutcomeConfig
) -> pl.DataFrame:
    """Label accounts that ever expanded under contract, since any sale may set an attribute."""
    newest, spacing = _compute_label_grid(as_of, rules)
    paid = contracts.filter("paid", pl.col("known") < newest, pl.col("effective") < newest)
    oldest = paid.select((pl.lit(newest) - pl.col("effective")).dt.total_days().max()).item()
    steps = range((oldest or 0) // spacing.days + 1)
    days = [(newest - number * spacing).date() for number in steps]
    accounts = paid.select("account_id").unique(maintain_order=True)
    keys = accounts.join(pl.DataFrame({"as_of": days}), how="cross")
    labelled = _label_snapshots(keys, contracts, as_of, rules)
    return labelled.group_by("account_id").agg(pl.col(LABEL_COLUMN).any())


def _compute_value_shares(users: pl.DataFrame, attributes: Sequence[str]) -> pl.DataFrame:
    """Compute the share of users with each common value of the time-invariant attributes.

    Counts would be a legitimate predictor, because accounts that expanded have more users.
    """
    shares = users.select("account_id").unique().sort("account_id")
    for name in (name for name in attributes if name in users.columns):
        with_value = users.filter(pl.col(name).is_not_null())
        value_counts = with_value.group_by(name).agg(accounts=pl.col("account_id").n_unique())
        common = (
            value_counts.filter(pl.col("accounts") >= MIN_POSITIVES)
            .sort("accounts", name)
            .tail(_MAX_VALUES)
        )
        account_shares = with_value.group_by("account_id").agg(
            pl.col(name).eq(value).mean().alias(f"{name} = {value}") for value in common[name]
        )
        shares = shares.join(account_shares, on="account_id", how="left")
    return shares


def _count_event_names(
    activity: Activity, labelled: pl.DataFrame, rules: OutcomeConfig
) -> pl.DataFrame:
    """Count events in the window before each snapshot, for the names most linked to expansions.

    As-ofs are one window apart, so that an event precedes only one of them.
    """
    keys = ["account_id", "as_of"]
    newest = labelled["as_of"].max() or date.min
    spacing_days = _round_up_to_months(rules.horizon_days).days
    days_before = (pl.lit(newest) - pl.col("day")).dt.total_days() - 1
    windows = activity.volume.filter(
        days_before >= 0, days_before < spacing_days * MAX_AS_OF_DATES
    ).with_columns(
        pl.col("account_id").cast(pl.String),
        as_of=pl.lit(newest) - pl.duration(days=days_before // spacing_days * spacing_days),
    )
    counts = (
        windows.filter(pl.col("known_day") < pl.col("as_of"))
        .group_by(*keys, name=pl.col("feature").cast(pl.String))
        .agg(pl.col("count").sum())
        .collect(engine="streaming")
        .join(labelled, on=keys)
    )
    is_expansion = pl.col(LABEL_COLUMN)
    selected = (
        counts.group_by("name")
        .agg(expansions=is_expansion.sum(), share=is_expansion.mean())
        .filter(pl.col("expansions") >= MIN_POSITIVES)
        .sort("share", "name")
        .tail(_MAX_EVENT_NAMES)
    )
    columns = [
        pl.col("count").filter(pl.col("name") == name).sum().alias(f"event = {name}")
        for name in sorted(selected["name"])
    ]
    wide = counts.group_by(keys).agg(columns)
    rows = labelled.join(wide, on=keys, how="left").drop("as_of")
    return rows.with_columns(pl.exclude("account_id", LABEL_COLUMN).fill_null(0))


def _list_findings(table: str, labelled: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a report entry for each implausible column of a table."""
    for finding in find_implausible_columns(labelled):
        attribute, _, value = finding["column"].partition(" = ")
        column = {"users": attribute, "events": value}.get(table, finding["column"])
        yield {"table": table} | finding | {"column": column, "advice": _ADVICE[table]}
