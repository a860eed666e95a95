"""What the page draws of an account beside its line: the curve, a year of months, the contract."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from data.settings import MONTH_DAYS
from features import contract
from features.grid import known_before
from features.measures import LOOK_BACK_MONTHS

__all__ = ["of"]

_AT_ONCE: Final = 5_000  # accounts
_STEPS: Final = 40  # of a contract, the last so many
_LEVELS: Final = ("seats", "usage_limit", "plan", "mrr")


def of(
    lines: pl.DataFrame,
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
    lines : polars.DataFrame
        ``account_id``, and ``curve`` where a model made them.
    months : polars.DataFrame
        See :class:`features.panel.Panel`.
    accounts : polars.DataFrame
        ``account_id``, ``segment``.
    subscriptions : polars.DataFrame
        Rows under :class:`data.contracts.Subscriptions`; what was not known before the as-of is
        left out.
    as_of : datetime.datetime
        00:00 UTC.
    plans, reliable_from
        As in :func:`features.contract.timeline`.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``segment``, and ``told``: JSON of ``curve`` (``days``, ``chance``, ``low``,
        ``high``, or null), ``months`` (``ends``, ``active_seats``, ``seats``, ``api_calls``, oldest
        first), ``contract`` (``effective``, ``seats``, ``usage_limit``, ``plan``, ``mrr``,
        ``change``, oldest first), and ``plan``, ``usage_limit``, ``mrr``, ``renewal`` now.
    """
    signed = contract.timeline(subscriptions, plans=plans, reliable_from=reliable_from)
    steps = known_before(signed, as_of)
    curve = pl.col("curve") if "curve" in lines.columns else pl.lit(None).alias("curve")
    bare = lines.select("account_id", curve).join(
        accounts.select("account_id", "segment"),
        on="account_id",
        how="left",
        maintain_order="left",
    )
    # In pieces: as structs, before they are text, portraits are larger than all the list.
    starts = range(0, max(bare.height, 1), _AT_ONCE)
    return pl.concat(
        _told(bare.slice(start, _AT_ONCE), months, steps, as_of.date()) for start in starts
    )


def _told(some: pl.DataFrame, months: pl.DataFrame, steps: pl.DataFrame, day: date) -> pl.DataFrame:
    for part in (_months(_theirs(months, some), day), _steps(_theirs(steps, some))):
        some = some.join(part, on="account_id", how="left", maintain_order="left")
    parts = ("curve", "months", "contract", "plan", "usage_limit", "mrr", "renewal")
    return some.select("account_id", "segment", told=pl.struct(parts).struct.json_encode())


def _theirs(rows: pl.DataFrame, some: pl.DataFrame) -> pl.DataFrame:
    return rows.join(some, on="account_id", how="semi", maintain_order="left")


def _months(months: pl.DataFrame, as_of: date) -> pl.DataFrame:
    back = range(LOOK_BACK_MONTHS, -1, -1)
    ends = [(as_of - timedelta(days=each * MONTH_DAYS)).isoformat() for each in back]
    series = (
        pl.concat_list(f"{name}_m{each}" for each in back).alias(name)
        for name in ("active_seats", "seats", "api_calls")
    )
    return months.select(
        "account_id",
        *("plan", "usage_limit", "mrr"),
        pl.col("renewal").dt.strftime("%Y-%m-%d"),
        months=pl.struct(pl.lit(ends, dtype=pl.List(pl.String)).alias("ends"), *series),
    )


def _steps(known: pl.DataFrame) -> pl.DataFrame:
    """The rows of each contract, also of those steps that are signed and not yet in force."""
    told = known.select(
        "account_id",
        *_LEVELS,
        "change",
        effective=pl.col("effective").dt.strftime("%Y-%m-%d"),
        status=pl.when("ended")
        .then(pl.lit("ended"))
        .when("trial")
        .then(pl.lit("trial"))
        .otherwise(pl.lit("paid")),
    )
    lists = told.group_by("account_id", maintain_order=True).agg(pl.all().tail(_STEPS))
    return lists.select("account_id", contract=pl.struct(pl.exclude("account_id")))
