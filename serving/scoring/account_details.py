"""What the page draws of an account beside its line: the curve, a year of months, the contract."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS
from features.panel.account_aggregates import LOOKBACK_MONTHS
from features.panel.monthly import known_before
from features.subscription_timeline import build_timeline

__all__ = ["build_account_details"]

_CHUNK_ROWS: Final = 5_000  # accounts
_MAX_STEPS: Final = 40  # of a contract, the last so many
_ENTITLEMENTS: Final = ("seats", "usage_limit", "plan", "mrr")


def build_account_details(
    rows: pl.DataFrame,
    months: pl.DataFrame,
    accounts: pl.DataFrame,
    subscriptions: pl.DataFrame,
    as_of: datetime,
    *,
    plans: Sequence[str] = (),
    reliable_from: date | None = None,
) -> pl.DataFrame:
    """Gather what a list knows of each account and its line does not say.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, and ``curve`` where a model made them.
    months : polars.DataFrame
        See :class:`features.panel.builder.Panel`.
    accounts : polars.DataFrame
        ``account_id``, ``segment``.
    subscriptions : polars.DataFrame
        Rows under :class:`data.schemas.SubscriptionSchema`; what was not known before the as-of is
        left out.
    as_of : datetime.datetime
        00:00 UTC.
    plans, reliable_from
        As in :func:`features.subscription_timeline.build_timeline`.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``segment``, and ``told``: JSON of ``curve`` (``days``, ``chance``, ``low``,
        ``high``, or null), ``months`` (``ends``, ``active_seats``, ``seats``, ``api_calls``, oldest
        first), ``contract`` (``effective``, ``seats``, ``usage_limit``, ``plan``, ``mrr``,
        ``change``, oldest first), and ``plan``, ``usage_limit``, ``mrr``, ``renewal`` now.
    """
    subscription_timeline = build_timeline(subscriptions, plans=plans, reliable_from=reliable_from)
    steps = known_before(subscription_timeline, as_of)
    curve = pl.col("curve") if "curve" in rows.columns else pl.lit(None).alias("curve")
    accounts_with_segment = rows.select("account_id", curve).join(
        accounts.select("account_id", "segment"),
        on="account_id",
        how="left",
        maintain_order="left",
    )
    # In pieces: as structs, before they are text, portraits are larger than all the list.
    starts = range(0, max(accounts_with_segment.height, 1), _CHUNK_ROWS)
    return pl.concat(
        _encode_details(
            accounts_with_segment.slice(start, _CHUNK_ROWS), months, steps, as_of.date()
        )
        for start in starts
    )


def _encode_details(
    selected: pl.DataFrame, months: pl.DataFrame, steps: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    for part in (
        _build_monthly_series(_filter_accounts(months, selected), as_of),
        _collect_contract_steps(_filter_accounts(steps, selected)),
    ):
        selected = selected.join(part, on="account_id", how="left", maintain_order="left")
    parts = ("curve", "months", "contract", "plan", "usage_limit", "mrr", "renewal")
    return selected.select("account_id", "segment", told=pl.struct(parts).struct.json_encode())


def _filter_accounts(rows: pl.DataFrame, selected: pl.DataFrame) -> pl.DataFrame:
    return rows.join(selected, on="account_id", how="semi", maintain_order="left")


def _build_monthly_series(months: pl.DataFrame, as_of: date) -> pl.DataFrame:
    months_back = range(LOOKBACK_MONTHS, -1, -1)
    ends = [(as_of - timedelta(days=each * MONTH_DAYS)).isoformat() for each in months_back]
    series = (
        pl.concat_list(f"{name}_m{each}" for each in months_back).alias(name)
        for name in ("active_seats", "seats", "api_calls")
    )
    return months.select(
        "account_id",
        *("plan", "usage_limit", "mrr"),
        pl.col("renewal").dt.strftime("%Y-%m-%d"),
        months=pl.struct(pl.lit(ends, dtype=pl.List(pl.String)).alias("ends"), *series),
    )


def _collect_contract_steps(steps: pl.DataFrame) -> pl.DataFrame:
    """The rows of each contract, also of those steps that are signed and not yet in force."""
    columns = steps.select(
        "account_id",
        *_ENTITLEMENTS,
        "change",
        effective=pl.col("effective").dt.strftime("%Y-%m-%d"),
        status=pl.when("ended")
        .then(pl.lit("ended"))
        .when("trial")
        .then(pl.lit("trial"))
        .otherwise(pl.lit("paid")),
    )
    lists = columns.group_by("account_id", maintain_order=True).agg(pl.all().tail(_MAX_STEPS))
    return lists.select("account_id", contract=pl.struct(pl.exclude("account_id")))
