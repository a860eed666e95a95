"""The same aggregates in plain pandas: read, group, loop over as-ofs.

Straightforward on purpose, and only a part of the aggregates; the others would make it slower
still. A seat is active by any feature use, as by default.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from data.config.settings import Settings
from data.ingest.table_loader import Tables

LEFT_OUT = (
    "lost, returned and rolling-off users, provisioned users, departments and domains, active"
    " weeks, sessions, days above 80 %, feature adoption, expansion history, plan rank, renewals,"
    " steps signed ahead"
)
_MONTHS = range(13)


def aggregate_as_ofs(
    files: Sequence[Path], tables: Tables, as_ofs: Sequence[datetime], settings: Settings
) -> Iterator[pd.DataFrame]:
    """Aggregate at each as-of, one row per account under contract.

    Columns are named as in ``features.panel.account_aggregates``.
    """
    log = _read_log(files, settings, list(tables.accounts.rows["account_id"]))
    contracts = tables.subscriptions.rows.to_pandas()
    for as_of in as_ofs:
        now = pd.Timestamp(as_of)
        known_events = log[(log["timestamp"] < now) & (log["known_at"] < now)].copy()
        known_events["month"] = ((now - known_events["day"]).dt.days - 1) // 30
        parts = [
            _aggregate_seats(known_events, now),
            _aggregate_users(known_events),
            _aggregate_features(known_events),
            _aggregate_roles(known_events, now),
        ]
        terms = _aggregate_terms(contracts, now)
        counts_by_account = pd.concat(parts, axis=1).reindex(terms.index)
        counts = [name for name in counts_by_account if not name.startswith("since_")]
        terms["log_days"] = (now - known_events["day"].min()).days
        wide = pd.concat([terms, counts_by_account.fillna(dict.fromkeys(counts, 0))], axis=1)
        yield wide.sort_index().copy()  # of one block, or pandas 3.0 warns


def _read_log(files: Sequence[Path], settings: Settings, accounts: list[str]) -> pd.DataFrame:
    log = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    log = log[log["account_id"].isin(accounts)]
    log["known_at"] = log["known_at"].fillna(log["timestamp"]).clip(lower=log["timestamp"])
    log = log.sort_values("known_at")
    log = log[log["event_id"].isna() | ~log["event_id"].duplicated()]
    log["role"] = log["event"].map(settings.roles.map_event_names()).fillna("use")
    log["feature"] = log["feature"].fillna(log["event"]).fillna("use")
    log["day"] = log["timestamp"].dt.floor("D")
    return log


def _pivot_months(counts: pd.Series, name: str, months: range = _MONTHS) -> pd.DataFrame:
    """Pivot counts by account and month to columns."""
    wide = counts.unstack("month").reindex(columns=list(months))
    return wide.set_axis([f"{name}_m{month}" for month in months], axis=1)


def _aggregate_seats(known_events: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    people = known_events[(known_events["role"] == "use") & known_events["user_id"].notna()]
    active = people.groupby(["account_id", "month"])["user_id"].nunique()
    first = people.groupby(["account_id", "user_id"])["day"].min().reset_index()
    first["since"] = (now - first["day"]).dt.days
    first["month"] = (first["since"] - 1) // 30

    def count_new(oldest: int, newest: int = 0) -> pd.Series:
        return first[first["since"].between(newest + 1, oldest)].groupby("account_id").size()

    columns = {f"new_users_{days}d": count_new(days) for days in (30, 60, 90, 180, 360)}
    columns |= {f"new_users_previous_{days}d": count_new(2 * days, days) for days in (30, 60, 90)}
    recent = first[first["since"] <= 180]
    columns["months_with_new_users_6m"] = recent.groupby("account_id")["month"].nunique()
    columns["since_new_user_days"] = first.groupby("account_id")["since"].min()
    return pd.concat([_pivot_months(active, "active_seats"), pd.DataFrame(columns)], axis=1)


def _aggregate_users(known_events: pd.DataFrame) -> pd.DataFrame:
    people = known_events[(known_events["role"] == "use") & known_events["user_id"].notna()]
    active = people.groupby(["account_id", "month"])["user_id"].nunique()
    days = people[people["month"] < 4].drop_duplicates(["account_id", "user_id", "day"])
    days = days.groupby(["account_id", "user_id", "month"]).size().rename("days").reset_index()
    power = days[days["days"] >= 12]
    use_counts = people[people["month"] < 3].groupby(["account_id", "user_id"]).size()
    columns = {
        f"people_{days}d": people[people["month"] < days // 30]
        .groupby("account_id")["user_id"]
        .nunique()
        for days in (90, 180, 360)
    }
    columns["champion_events_90d"] = use_counts.groupby("account_id").max()
    columns["events_90d"] = use_counts.groupby("account_id").sum()
    by_month = ["account_id", "month"]
    return pd.concat(
        [
            _pivot_months(active, "active_users"),
            _pivot_months(days.groupby(by_month)["days"].sum(), "active_days", range(4)),
            _pivot_months(power.groupby(by_month).size(), "power_users", range(4)),
            pd.DataFrame(columns),
        ],
        axis=1,
    )


def _aggregate_features(known_events: pd.DataFrame) -> pd.DataFrame:
    use = known_events[known_events["role"] == "use"]
    first = use.groupby(["account_id", "feature"])["month"].max().reset_index()

    def count_new(newest: int, oldest: int) -> pd.Series:
        return first[first["month"].between(newest, oldest)].groupby("account_id").size()

    columns = {
        "features_ever": first.groupby("account_id").size(),
        "features_new_60d": count_new(0, 1),
        "features_new_previous_60d": count_new(2, 3),
        "features_new_180d": count_new(0, 5),
    }
    monthly = use.groupby(["account_id", "month"])["feature"].nunique()
    return pd.concat([_pivot_months(monthly, "features", range(4)), pd.DataFrame(columns)], axis=1)


def _aggregate_roles(known_events: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    by_month = ["account_id", "month"]
    use, api, integration, login, ticket, nps = (
        known_events[known_events["role"] == role]
        for role in ("use", "api_call", "integration", "login", "support_ticket", "nps")
    )
    calls = api.assign(quantity=api["quantity"].fillna(1)).groupby(by_month)["quantity"].sum()
    half_year = nps[nps["month"] < 6].groupby("account_id")["quantity"]
    linked = integration.groupby(["account_id", "feature"])["month"].max().reset_index()
    columns = {
        "since_first_api_days": (now - api.groupby("account_id")["day"].min()).dt.days,
        "since_event_months": known_events.groupby("account_id")["month"].min(),
        "integrations_new_90d": linked[linked["month"] < 3].groupby("account_id").size(),
        "tickets_90d": ticket[ticket["month"] < 3].groupby("account_id").size(),
        "tickets_previous_90d": ticket[ticket["month"].between(3, 5)].groupby("account_id").size(),
        "nps_answers_180d": half_year.size(),
        "nps_sum_180d": half_year.sum(),
    }
    in_use = integration.groupby(by_month)["feature"].nunique()
    return pd.concat(
        [
            _pivot_months(use.groupby(by_month).size(), "events"),
            _pivot_months(calls, "api_calls"),
            _pivot_months(in_use, "integrations", range(4)),
            _pivot_months(login.groupby(by_month).size(), "logins", range(2)),
            pd.DataFrame(columns),
        ],
        axis=1,
    )


def _aggregate_terms(contracts: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    """Select the terms in force now, and seats and revenue of past months."""
    known_at = contracts["known_at"].fillna(contracts["effective_date"])
    signed = contracts.assign(known=known_at)[known_at < now].sort_values(
        ["effective_date", "known"]
    )
    names = {"licensed_seats": "seats"}
    levels = ["licensed_seats", "usage_limit", "plan", "mrr"]
    wide = _select_terms_in_force(signed, now)[levels].rename(columns=names)
    columns: dict[str, pd.Series] = {}
    for back in _MONTHS:
        past = _select_terms_in_force(signed, now - pd.Timedelta(days=30 * back))
        columns |= {f"seats_m{back}": past["licensed_seats"], f"mrr_m{back}": past["mrr"]}
    return pd.concat([wide, pd.DataFrame(columns)], axis=1)


def _select_terms_in_force(signed: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    in_effect = signed[signed["effective_date"] <= moment]
    return in_effect.drop_duplicates("account_id", keep="last").set_index("account_id")
