"""Details for the account page: probability curve, monthly usage and contract history."""

from datetime import date, timedelta
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS
from features.panel.account_aggregates import LOOKBACK_MONTHS

__all__ = ["build_account_details"]

_CHUNK_ROWS: Final = 5_000
_MAX_STEPS: Final = 40  # latest steps of a contract
_ENTITLEMENTS: Final = ("seats", "usage_limit", "plan", "mrr")


def build_account_details(
    rows: pl.DataFrame, months: pl.DataFrame, contracts: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """Build the details that the account page shows in addition to the list row.

    ``rows`` have ``account_id``, ``segment`` and ``curve`` (null without a model); ``months`` are
    those of :class:`features.panel.Panel`, ``contracts`` the timeline known before the as-of.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``segment``, and ``payload``: JSON of ``curve`` (``days``, ``probability``,
        ``low``, ``high``, or null), ``months`` (``ends``, ``active_seats``, ``seats``,
        ``api_calls``, oldest first), ``contract`` (``effective``, ``seats``, ``usage_limit``,
        ``plan``, ``mrr``, ``change``, oldest first), and the current ``plan``, ``usage_limit``,
        ``mrr``, ``renewal``.
    """
    # In chunks: as structs, before encoding, the details need more memory than the list.
    starts = range(0, max(rows.height, 1), _CHUNK_ROWS)
    return pl.concat(
        _encode_details(rows.slice(start, _CHUNK_ROWS), months, contracts, as_of)
        for start in starts
    )


def _encode_details(
    selected: pl.DataFrame, months: pl.DataFrame, contracts: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    def select_own(table: pl.DataFrame) -> pl.DataFrame:
        return table.join(selected, on="account_id", how="semi", maintain_order="left")

    for part in (
        _build_monthly_series(select_own(months), as_of),
        _collect_contract_steps(select_own(contracts)),
    ):
        selected = selected.join(part, on="account_id", how="left", maintain_order="left")
    parts = ("curve", "months", "contract", "plan", "usage_limit", "mrr", "renewal")
    return selected.select("account_id", "segment", payload=pl.struct(parts).struct.json_encode())


def _build_monthly_series(months: pl.DataFrame, as_of: date) -> pl.DataFrame:
    months_back = range(LOOKBACK_MONTHS, -1, -1)
    ends = [
        (as_of - timedelta(days=month_index * MONTH_DAYS)).isoformat()
        for month_index in months_back
    ]
    series = (
        pl.concat_list(f"{name}_m{month_index}" for month_index in months_back).alias(name)
        for name in ("active_seats", "seats", "api_calls")
    )
    return months.select(
        "account_id",
        *("plan", "usage_limit", "mrr"),
        pl.col("renewal").dt.strftime("%Y-%m-%d"),
        months=pl.struct(pl.lit(ends, dtype=pl.List(pl.String)).alias("ends"), *series),
    )


def _collect_contract_steps(steps: pl.DataFrame) -> pl.DataFrame:
    """Collect the contract rows of each account, including signed future steps."""
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
