"""Data quality report: rejected rows, missing inputs, eligibility, leakage, prerequisites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from data.config.settings import MONTH_DAYS, OutcomeConfig, RolesConfig, Settings
from data.ingest.table_loader import Tables
from features.activity.daily_tables import Activity
from features.catalogue import FEATURES
from features.panel import builder
from training.data_quality import leakage
from training.evaluation import splits
from training.labels import build_outcomes

__all__ = ["DataQualityReport", "check_data_quality"]

ChecklistItem = tuple[str, bool, str]  # question, passed, found
MIN_ACCOUNTS: Final = 50
_STALE_DAYS: Final = 180
_MAX_MACHINE_SHARE: Final = 0.9


@dataclass(frozen=True)
class DataQualityReport:
    """Result of ``expansion check``; every field is a plain JSON value."""

    tables: list[dict[str, Any]]
    span: dict[str, Any]
    events: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    eligible: int
    excluded: dict[str, int]
    history: dict[str, Any]
    leakage: list[dict[str, Any]]
    checklist: list[dict[str, Any]]


def check_data_quality(
    tables: Tables, activity: Activity, as_of: datetime, settings: Settings
) -> DataQualityReport:
    """Check all tables and summarize what they can be used for.

    Features and eligibility are evaluated at ``as_of``, 00:00 UTC. The report holds rows and
    quarantine by table, roles of event names, features without input, eligibility, expansions in
    the history, suspected leakage, and prerequisites.
    """
    first_training_date = as_of
    if activity.first_day is not None:
        first_training_date = splits.to_utc_midnight(activity.first_day) + timedelta(
            days=settings.eligibility.burn_in_days
        )
    past_dates = leakage.sample_as_of_dates(as_of, first_training_date, settings.outcome)
    panel = builder.build_panel(activity, tables, [as_of, *past_dates], settings)
    is_current = pl.col("as_of") == as_of.date()
    current, excluded = panel.snapshots.filter(is_current), panel.excluded.filter(is_current)
    past = panel.snapshots.filter(~is_current)
    checklist = [
        *_check_prerequisites(tables, activity, panel.contracts, as_of),
        _check_log_age(activity, as_of, settings.scoring.max_log_age_days),
        *_check_plans(tables, settings.outcome.plans),
    ]
    return DataQualityReport(
        tables=_summarize_tables(tables, activity),
        span={"first_day": str(activity.first_day), "last_day": str(activity.last_day)},
        events=_summarize_events(tables, settings.roles),
        missing=_list_missing_features(current),
        eligible=current.height,
        excluded=dict(excluded["reason"].value_counts().sort("reason").iter_rows()),
        history=_summarize_history(tables, activity, panel.contracts, as_of, settings.outcome),
        leakage=leakage.find_leaky_columns(
            past, tables, activity, panel.contracts, as_of, settings=settings
        ),
        checklist=[
            {"question": question, "passed": passed, "found": found}
            for question, passed, found in checklist
        ],
    )


def _summarize_tables(tables: Tables, activity: Activity) -> list[dict[str, Any]]:
    counts: dict[str, tuple[int, Mapping[str, int], Mapping[str, int]]] = {
        "events": (activity.events, activity.quarantine, {})
    }
    for name in ("subscriptions", "accounts", "users"):
        validated = getattr(tables, name)
        counts[name] = validated.row_count, validated.quarantine, validated.notes
    return [
        {"table": name, "rows": rows, "quarantine": dict(quarantine), "notes": dict(notes)}
        for name, (rows, quarantine, notes) in counts.items()
    ]


def _summarize_events(tables: Tables, roles: RolesConfig) -> list[dict[str, Any]]:
    """Return each event name with its role and number of rows."""
    role_by_name = roles.map_event_names()
    partition_counts = pl.concat(
        [part.valid_rows().group_by("event").agg(rows=pl.len()) for part in tables.events]
    )
    rows = (
        partition_counts.group_by("event")
        .agg(pl.col("rows").sum())
        .sort("rows", "event", descending=[True, False])
        .collect(engine="streaming")
    )
    return [
        {
            "event": name or "(none)",
            "role": role_by_name.get(name or "", "feature use"),
            "rows": count,
        }
        for name, count in rows.iter_rows()
    ]


def _list_missing_features(snapshots: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the features without any value, grouped by the input they lack."""
    causes: dict[str, list[str]] = {}
    for feature in FEATURES:
        if snapshots.height and snapshots[feature.name].null_count() == snapshots.height:
            cause = feature.requires or "a longer log or the required events"
            causes.setdefault(cause, []).append(feature.name)
    return [{"missing_input": cause, "features": names} for cause, names in causes.items()]


def _summarize_history(
    tables: Tables,
    activity: Activity,
    contracts: pl.DataFrame,
    as_of: datetime,
    rules: OutcomeConfig,
) -> dict[str, Any]:
    """Count expansions and contract ends in the months of the log, from contracts alone."""
    months = (
        0 if activity.first_day is None else (as_of.date() - activity.first_day).days // MONTH_DAYS
    )
    if months < 1:
        return {}
    days = [as_of.date() - timedelta(days=MONTH_DAYS * month) for month in range(1, months + 1)]
    snapshots = tables.accounts.rows.select("account_id").join(
        pl.DataFrame({"as_of": days}, schema={"as_of": pl.Date}), how="cross"
    )
    labels = build_outcomes(snapshots, contracts, cutoff=as_of, rules=rules)
    # Only expansions within the month, so that each counts once.
    expansions = labels.filter(pl.col("days_to_expansion") < MONTH_DAYS)
    unclear = labels.filter(pl.col("days_to_ambiguous") < MONTH_DAYS).height
    ended = contracts.filter(
        "ended", pl.col("effective").dt.date().is_between(days[-1], as_of.date())
    )
    return {
        "months": months,
        "expansions": dict(expansions["kind"].value_counts().sort("kind").iter_rows()),
        "unclear": unclear,
        "ended": ended["account_id"].n_unique(),
    }


def _check_prerequisites(
    tables: Tables, activity: Activity, contracts: pl.DataFrame, as_of: datetime
) -> list[ChecklistItem]:
    """Check the prerequisites of a propensity model."""
    accounts = tables.accounts.rows.height
    valid = activity.events - sum(activity.quarantine.values())
    machine = activity.machine_events / valid if valid else None
    paid = contracts.filter("paid")
    ages = contracts.select((pl.lit(as_of) - pl.col("known")).dt.total_days())["literal"]
    age_days = int(ages.filter(ages >= 0).min() or 0) if (ages >= 0).any() else None  # type: ignore[arg-type]
    return [
        (
            f"at least {MIN_ACCOUNTS} accounts",
            accounts >= MIN_ACCOUNTS,
            f"{accounts:,} accounts; below {MIN_ACCOUNTS} manual review is sufficient",
        ),
        (
            "activity by user",
            machine is not None and machine < _MAX_MACHINE_SHARE,
            "no valid event" if machine is None else f"{1 - machine:.0%} of events name a user",
        ),
        (
            "seats or usage limits in the contracts",
            bool(paid["seats"].is_not_null().any() or paid["usage_limit"].is_not_null().any()),
            f"{paid['seats'].is_not_null().sum():,} of {paid.height:,} paid rows have seats,"
            f" {paid['usage_limit'].is_not_null().sum():,} a usage limit",
        ),
        (
            "an up-to-date contract history",
            age_days is not None and age_days <= _STALE_DAYS,
            f"no contract row before {as_of:%Y-%m-%d}"
            if age_days is None
            else f"the newest row is {age_days} days old; the limit is {_STALE_DAYS}",
        ),
    ]


def _check_log_age(activity: Activity, as_of: datetime, limit: int) -> ChecklistItem:
    """Check that the log is recent enough for the weekly job."""
    age_days = max((as_of.date() - activity.last_day).days - 1, 0) if activity.last_day else None
    return (
        "an up-to-date log",
        age_days is not None and age_days <= limit,
        "no valid event"
        if age_days is None
        else f"it ends {age_days} days before {as_of:%Y-%m-%d}; scoring allows {limit}",
    )


def _check_plans(tables: Tables, order: Sequence[str]) -> list[ChecklistItem]:
    """Check that every plan has a rank, if plans are ranked."""
    if not order:
        return []
    unknown = sorted(set(tables.subscriptions.rows["plan"].drop_nulls()) - set(order))
    found = f"not in outcome.plans: {', '.join(unknown)}" if unknown else "all plans are ranked"
    return [("a rank for every plan", not unknown, found)]
