"""The same measures as a data scientist would write them in pandas: read, group, loop over as-ofs.

Straightforward on purpose, and for a part of the measures only; what is left out would make it
slower still. A seat is active by any feature use, as by default.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from data.config.settings import Settings
from data.ingest.table_loader import Tables

LEFT_OUT = (
    "lost, returned and rolling-off users, provisioned users, departments and domains, active"
    " weeks, sessions, days above 80 %, how features spread among people, the history of"
    " expansions, plan rank, renewals, steps signed ahead"
)
_MONTHS = range(13)


def measures(
    files: Sequence[Path], tables: Tables, as_ofs: Sequence[datetime], settings: Settings
) -> Iterator[pd.DataFrame]:
    """Count at each as-of; rows are accounts under contract, columns as in features.panel.account_aggregates."""
    log = _log(files, settings, list(tables.accounts.rows["account_id"]))
    contracts = tables.subscriptions.rows.to_pandas()
    for as_of in as_ofs:
        now = pd.Timestamp(as_of)
        seen = log[(log["timestamp"] < now) & (log["known_at"] < now)].copy()
        seen["month"] = ((now - seen["day"]).dt.days - 1) // 30
        parts = [_seats(seen, now), _people(seen), _features(seen), _roles(seen, now)]
        terms = _terms(contracts, now)
        counted = pd.concat(parts, axis=1).reindex(terms.index)
        counts = [name for name in counted if not name.startswith("since_")]
        wide = pd.concat([terms, counted.fillna(dict.fromkeys(counts, 0))], axis=1)
        yield wide.assign(log_days=(now - seen["day"].min()).days).sort_index()


def _log(files: Sequence[Path], settings: Settings, accounts: list[str]) -> pd.DataFrame:
    log = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    log = log[log["account_id"].isin(accounts)]
    log["known_at"] = log["known_at"].fillna(log["timestamp"]).clip(lower=log["timestamp"])
    log = log.sort_values("known_at")
    log = log[log["event_id"].isna() | ~log["event_id"].duplicated()]
    log["role"] = log["event"].map(settings.roles.map_event_names()).fillna("use")
    log["feature"] = log["feature"].fillna(log["event"]).fillna("use")
    log["day"] = log["timestamp"].dt.floor("D")
    return log


def _monthly(counts: pd.Series, name: str, months: range = _MONTHS) -> pd.DataFrame:
    """Spread counts by account and month over columns."""
    wide = counts.unstack("month").reindex(columns=list(months))
    return wide.set_axis([f"{name}_m{month}" for month in months], axis=1)


def _seats(seen: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    people = seen[(seen["role"] == "use") & seen["user_id"].notna()]
    active = people.groupby(["account_id", "month"])["user_id"].nunique()
    first = people.groupby(["account_id", "user_id"])["day"].min().reset_index()
    first["since"] = (now - first["day"]).dt.days
    first["month"] = (first["since"] - 1) // 30

    def new(oldest: int, newest: int = 0) -> pd.Series:
        return first[first["since"].between(newest + 1, oldest)].groupby("account_id").size()

    columns = {f"new_users_{days}d": new(days) for days in (30, 60, 90, 180, 360)}
    columns |= {f"new_users_previous_{days}d": new(2 * days, days) for days in (30, 60, 90)}
    recent = first[first["since"] <= 180]
    columns["months_with_new_users_6m"] = recent.groupby("account_id")["month"].nunique()
    columns["since_new_user_days"] = first.groupby("account_id")["since"].min()
    return pd.concat([_monthly(active, "active_seats"), pd.DataFrame(columns)], axis=1)


def _people(seen: pd.DataFrame) -> pd.DataFrame:
    people = seen[(seen["role"] == "use") & seen["user_id"].notna()]
    active = people.groupby(["account_id", "month"])["user_id"].nunique()
    days = people[people["month"] < 4].drop_duplicates(["account_id", "user_id", "day"])
    days = days.groupby(["account_id", "user_id", "month"]).size().rename("days").reset_index()
    power = days[days["days"] >= 12]
    done = people[people["month"] < 3].groupby(["account_id", "user_id"]).size()
    columns = {
        f"people_{days}d": people[people["month"] < days // 30]
        .groupby("account_id")["user_id"]
        .nunique()
        for days in (90, 180, 360)
    }
    columns["champion_events_90d"] = done.groupby("account_id").max()
    columns["events_90d"] = done.groupby("account_id").sum()
    by_month = ["account_id", "month"]
    return pd.concat(
        [
            _monthly(active, "active_users"),
            _monthly(days.groupby(by_month)["days"].sum(), "active_days", range(4)),
            _monthly(power.groupby(by_month).size(), "power_users", range(4)),
            pd.DataFrame(columns),
        ],
        axis=1,
    )


def _features(seen: pd.DataFrame) -> pd.DataFrame:
    use = seen[seen["role"] == "use"]
    first = use.groupby(["account_id", "feature"])["month"].max().reset_index()

    def new(newest: int, oldest: int) -> pd.Series:
        return first[first["month"].between(newest, oldest)].groupby("account_id").size()

    columns = {
        "features_ever": first.groupby("account_id").size(),
        "features_new_60d": new(0, 1),
        "features_new_previous_60d": new(2, 3),
        "features_new_180d": new(0, 5),
    }
    monthly = use.groupby(["account_id", "month"])["feature"].nunique()
    return pd.concat([_monthly(monthly, "features", range(4)), pd.DataFrame(columns)], axis=1)


def _roles(seen: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    by_month = ["account_id", "month"]
    use, api, integration, login, ticket, nps = (
        seen[seen["role"] == role]
        for role in ("use", "api_call", "integration", "login", "support_ticket", "nps")
    )
    calls = api.assign(quantity=api["quantity"].fillna(1)).groupby(by_month)["quantity"].sum()
    half_year = nps[nps["month"] < 6].groupby("account_id")["quantity"]
    linked = integration.groupby(["account_id", "feature"])["month"].max().reset_index()
    columns = {
        "since_first_api_days": (now - api.groupby("account_id")["day"].min()).dt.days,
        "since_event_months": seen.groupby("account_id")["month"].min(),
        "integrations_new_90d": linked[linked["month"] < 3].groupby("account_id").size(),
        "tickets_90d": ticket[ticket["month"] < 3].groupby("account_id").size(),
        "tickets_previous_90d": ticket[ticket["month"].between(3, 5)].groupby("account_id").size(),
        "nps_answers_180d": half_year.size(),
        "nps_sum_180d": half_year.sum(),
    }
    in_use = integration.groupby(by_month)["feature"].nunique()
    return pd.concat(
        [
            _monthly(use.groupby(by_month).size(), "events"),
            _monthly(calls, "api_calls"),
            _monthly(in_use, "integrations", range(4)),
            _monthly(login.groupby(by_month).size(), "logins", range(2)),
            pd.DataFrame(columns),
        ],
        axis=1,
    )


def _terms(contracts: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    """Terms in force now, and seats and revenue of past months."""
    known = contracts["known_at"].fillna(contracts["effective_date"])
    signed = contracts.assign(known=known)[known < now].sort_values(["effective_date", "known"])
    names = {"licensed_seats": "seats"}
    levels = ["licensed_seats", "usage_limit", "plan", "mrr"]
    wide = _standing(signed, now)[levels].rename(columns=names)
    columns: dict[str, pd.Series] = {}
    for back in _MONTHS:
        past = _standing(signed, now - pd.Timedelta(days=30 * back))
        columns |= {f"seats_m{back}": past["licensed_seats"], f"mrr_m{back}": past["mrr"]}
    return pd.concat([wide, pd.DataFrame(columns)], axis=1)


def _standing(signed: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    in_effect = signed[signed["effective_date"] <= moment]
    return in_effect.drop_duplicates("account_id", keep="last").set_index("account_id")
