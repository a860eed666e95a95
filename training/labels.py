"""Labels: typed expansions and churn after each snapshot, the only look past the as-of.

An outcome counts on ``[as_of, as_of + horizon)``, the end excluded. Labels are read from contract
rows known before the *cutoff*. A window that is incomplete at the cutoff has no label, even if it
already contains an expansion: keeping only early positives would bias recent rates upwards.
"""

from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import OutcomeConfig
from features import subscription_timeline
from features.point_in_time import known_before

__all__ = [
    "MAX_HORIZON_DAYS",
    "build_outcomes",
    "churn_label",
    "evaluate_label",
    "expansion_label",
]

MAX_HORIZON_DAYS: Final = 180
_SNAPSHOT_KEYS: Final = ["account_id", "as_of"]
_QUANTITIES: Final = ("seats", "usage_limit", "plan_rank", "mrr")
_AS_OF_MIDNIGHT: Final = pl.col("as_of").cast(subscription_timeline.UTC_DATETIME)


def build_outcomes(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, *, cutoff: datetime, rules: OutcomeConfig
) -> pl.DataFrame:
    """Find the first organic expansion and the end of contract after each as-of.

    The contracts are the subscription timeline. Only rows known before the cutoff, UTC, are read.

    Returns
    -------
    polars.DataFrame
        One row per snapshot, in the given order: ``days_to_expansion`` and ``days_to_churn`` (whole
        days from the as-of, null when not observed), ``kind`` (plan, seats, usage, revenue),
        ``increase`` (share), ``mrr_increase`` (share; null where the revenue before or after is
        unknown), ``mrr_added`` (currency per month; null likewise), ``days_to_ambiguous`` (to an
        increase that cannot be distinguished from a price change), and ``observed_days``: windows
        up to this length are complete at the cutoff.
    """
    known_contracts = known_before(contracts, cutoff)
    keys, clear = snapshots.select(_SNAPSHOT_KEYS), pl.col("kind") != "unclear"
    churn = _find_churn(keys, known_contracts)
    increases = _classify_increases(_find_increases(keys, known_contracts), known_contracts, rules)
    first_increase = (
        increases.join(churn, on=_SNAPSHOT_KEYS, how="left")
        .filter(
            pl.col("days").lt(pl.col("days_to_churn").fill_null(MAX_HORIZON_DAYS + 1)),
            pl.col("kind").is_not_null(),
        )
        .sort(*_SNAPSHOT_KEYS, "known", "effective")
        .group_by(_SNAPSHOT_KEYS, maintain_order=True)
        .agg(
            pl.col("days").filter(clear).first().alias("days_to_expansion"),
            pl.col("kind", "increase", "mrr_increase", "mrr_added").filter(clear).first(),
            days_to_ambiguous=pl.col("days").filter(~clear).first(),
        )
    )
    days_elapsed = pl.lit(cutoff.date()) - pl.col("as_of")
    maturity_days = rules.booking_lag_days + rules.revert_days
    return (
        keys.join(first_increase, on=_SNAPSHOT_KEYS, how="left", maintain_order="left")
        .join(churn, on=_SNAPSHOT_KEYS, how="left", maintain_order="left")
        .with_columns(observed_days=days_elapsed.dt.total_days() - maturity_days)
    )


def expansion_label(horizon_days: int) -> pl.Expr:
    """Return the expansion label within the horizon; null while it is unknown.

    A window is unknown until the cutoff lies after its end plus booking lag and revert days. It is
    also unknown if its only increase cannot be distinguished from a price change.
    """
    observed = (pl.col("days_to_expansion") < horizon_days).fill_null(value=False)
    ambiguous = (pl.col("days_to_ambiguous") < horizon_days).fill_null(value=False)
    complete = pl.col("observed_days") >= horizon_days
    return pl.when(complete & (observed | ~ambiguous)).then(observed)


def churn_label(horizon_days: int) -> pl.Expr:
    """Return the churn label within the horizon; null while it is unknown."""
    observed = (pl.col("days_to_churn") < horizon_days).fill_null(value=False)
    return pl.when(pl.col("observed_days") >= horizon_days).then(observed)


def evaluate_label(outcomes: pl.DataFrame, label: pl.Expr) -> NDArray[np.float64]:
    """Return the label of each outcome as 1, 0, or NaN while unknown."""
    return outcomes.select(label.cast(pl.Float64).alias("label"))["label"].to_numpy()


def _days_after_as_of(days_from: str) -> pl.Expr:
    return (pl.col(days_from).dt.date() - pl.col("as_of")).dt.total_days()


def _find_churn(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Compute the days until a contract row that ends the account takes effect.

    Zero for an end before the as-of that became known only later. If several rows share an
    effective date, the one known last applies, so a revoked termination does not count.
    """
    last_version = known.group_by("account_id", "effective", maintain_order=True).last()
    terminations = last_version.with_columns(
        until=pl.col("effective").shift(-1).over("account_id", order_by="effective")
    ).filter("ended")
    not_superseded = pl.col("until").is_null() | (pl.col("until").dt.date() > pl.col("as_of"))
    return (
        keys.join(terminations.select("account_id", "effective", "until"), on="account_id")
        .with_columns(days=_days_after_as_of("effective"))
        .filter(pl.col("days") < MAX_HORIZON_DAYS, (pl.col("days") >= 0) | not_superseded)
        .group_by(_SNAPSHOT_KEYS)
        .agg(days_to_churn=pl.col("days").min().clip(lower_bound=0))
    )


def _find_increases(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return contract rows known after the as-of, with the levels that they must exceed.

    Three levels apply: the level at the as-of; the level already scheduled for the row's effective
    date (a ramp signed earlier is not a new outcome); and the level that a merger, correction or
    ramp brought in between.
    """
    numbered = known.with_row_index("row")
    rows = (
        keys.join(numbered, on="account_id")
        .with_columns(days=_days_after_as_of("known"))
        .filter(pl.col("days").is_between(0, MAX_HORIZON_DAYS - 1))
    )
    current = _select_in_force(keys.with_columns(moment=_AS_OF_MIDNIGHT), numbered, "_current")
    effective_date = pl.max_horizontal("effective", _AS_OF_MIDNIGHT)
    scheduled = _select_in_force(
        rows.select(*_SNAPSHOT_KEYS, "row", moment=effective_date), numbered, "_scheduled"
    )
    joined = (
        rows.join(current, on=_SNAPSHOT_KEYS, how="left")
        .join(scheduled, on=[*_SNAPSHOT_KEYS, "row"], how="left")
        .join(_find_inorganic_levels(rows), on=[*_SNAPSHOT_KEYS, "row"], how="left")
    )
    before = [
        # A first purchase has no previous level, whatever was known in between.
        pl.when(pl.col(f"{name}_current").is_not_null())
        .then(pl.max_horizontal(f"{name}_current", f"{name}_scheduled", f"{name}_inorganic"))
        .alias(f"{name}_before")
        for name in _QUANTITIES
    ]
    return joined.filter("paid_current", "paid").with_columns(
        *before, plan_before=pl.coalesce("plan_scheduled", "plan_current")
    )


def _select_in_force(moments: pl.DataFrame, numbered: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """Select the contract in force at ``moment``, as known at the as-of."""
    group_keys = [name for name in moments.columns if name != "moment"]
    rows = numbered.select(
        "account_id", "known", "effective", *_QUANTITIES, "plan", "paid", version="row"
    )
    return (
        moments.join(rows, on="account_id")
        .filter(pl.col("known") < _AS_OF_MIDNIGHT, pl.col("effective") <= pl.col("moment"))
        .sort(*group_keys, "version")
        .group_by(group_keys, maintain_order=True)
        .last()
        .select(*group_keys, pl.col(*_QUANTITIES, "plan", "paid").name.suffix(suffix))
    )


def _find_inorganic_levels(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the highest inorganic levels between the as-of and a row.

    Price changes and renewals only change revenue.
    """
    inorganic = pl.col("change").is_in(list(subscription_timeline.NON_ORGANIC_CHANGES))
    levels = [pl.when(inorganic).then(name).alias(name) for name in _QUANTITIES if name != "mrr"]
    inorganic_levels = rows.filter(inorganic | pl.col("change").is_in(["price", "renewal"])).select(
        *_SNAPSHOT_KEYS,
        *levels,
        "mrr",
        level_known="known",
        level_effective="effective",
        version="row",
    )
    known_earlier = (pl.col("level_known") < pl.col("known")) | (
        pl.col("level_known").eq(pl.col("known")) & pl.col("version").lt(pl.col("row"))
    )
    return (
        rows.select(*_SNAPSHOT_KEYS, "row", "known", "effective")
        .join(inorganic_levels, on=_SNAPSHOT_KEYS)
        .filter(known_earlier, pl.col("level_effective") <= pl.col("effective"))
        .group_by(*_SNAPSHOT_KEYS, "row")
        .agg(pl.col(_QUANTITIES).max().name.suffix("_inorganic"))
    )


def _classify_increases(
    increases: pl.DataFrame, known: pl.DataFrame, rules: OutcomeConfig
) -> pl.DataFrame:
    """Assign a type to each increase and drop those reverted within the revert days."""
    kind = subscription_timeline.increase_type(min_increase=rules.min_increase)
    typed = increases.with_columns(
        kind=kind,
        increase=subscription_timeline.relative_increase(),
        mrr_increase=pl.when(pl.col("mrr_before") > 0).then(
            pl.col("mrr") / pl.col("mrr_before") - 1
        ),
        mrr_added=pl.col("mrr") - pl.col("mrr_before"),
    ).filter(pl.col("kind").is_not_null())
    later = known.with_row_index("later").select(
        "account_id", "later", pl.col("effective", *_QUANTITIES, "plan").name.prefix("later_")
    )
    # An increase booked late can be reverted only after its booking.
    revert_deadline = pl.max_horizontal("effective", "known") + pl.duration(days=rules.revert_days)
    return (
        typed.join(later, on="account_id")
        .filter(pl.col("later_effective").is_between("effective", revert_deadline))
        .sort(*_SNAPSHOT_KEYS, "row", "later")
        .group_by(*_SNAPSHOT_KEYS, "row", maintain_order=True)
        .last()
        .filter(_increase_persists())
    )


def _increase_persists() -> pl.Expr:
    """Check that some increased quantity still exceeds its previous level."""
    cheaper = pl.col("later_mrr") <= pl.col("mrr_before")
    lower = (pl.col("later_plan_rank") <= pl.col("plan_rank_before")).fill_null(cheaper)
    plan = pl.col("later_plan").ne(pl.col("plan_before")) & ~lower.fill_null(value=False)
    seats = pl.col("later_seats") > pl.col("seats_before")
    usage = pl.col("later_usage_limit") > pl.col("usage_limit_before")
    revenue = pl.col("later_mrr") > pl.col("mrr_before")
    any_quantity = pl.any_horizontal(
        increased.fill_null(value=False) for increased in (plan, seats, usage)
    )
    return (
        pl.when(pl.col("kind") == "unclear")
        .then(pl.lit(value=True))
        .when(pl.col("kind") == "revenue")
        .then(revenue.fill_null(value=False))
        .otherwise(any_quantity)
    )
