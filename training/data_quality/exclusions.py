"""Explain which snapshots of an account were used for training and why others were not."""

from datetime import date, timedelta

import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from training.labels import build_outcomes, expansion_label
from training.pipeline.training_run import TrainingHistory

__all__ = ["explain_exclusions", "merge_consecutive"]

_MONTH = timedelta(days=30)


def explain_exclusions(
    history: TrainingHistory, settings: Settings, account_id: str
) -> pl.DataFrame:
    """Explain, for every as-of of a history, how one account's snapshot was used.

    Returns
    -------
    polars.DataFrame
        ``as_of`` (Date), ``used`` (bool: a training row at the end of the history) and ``reason``,
        ordered by as-of, from the first day of the log.

    Raises
    ------
    data.errors.HistoryError
        If there is no such account.
    """
    accounts = history.tables.accounts.rows.filter(pl.col("account_id") == account_id)
    if accounts.is_empty():
        raise HistoryError(
            f"account {account_id!r} is not in the accounts table; check the spelling of its id, or"
            " whether its row is in quarantine (`expansion check`)."
        )
    as_ofs = pl.concat([history.panel.snapshots, history.panel.excluded], how="diagonal")["as_of"]
    is_account = pl.col("account_id") == account_id
    rows = history.panel.snapshots.filter(is_account).select("account_id", "as_of")
    explanations = pl.concat(
        [
            _explain_eligible(rows, history, settings),
            history.panel.excluded.filter(is_account).select(
                "as_of", used=pl.lit(value=False), reason="reason"
            ),
            _explain_burn_in(as_ofs, history.activity.first_day, settings.eligibility.burn_in_days),
        ]
    )
    return (
        pl.concat([as_ofs, explanations["as_of"]])
        .unique()
        .to_frame()
        .join(explanations, on="as_of", how="left")
        .with_columns(
            pl.col("used").fill_null(value=False),
            pl.col("reason").fill_null(
                f"not created yet; created on {accounts['created_date'][0]:%Y-%m-%d}"
            ),
        )
        .sort("as_of")
    )


def merge_consecutive(explanations: pl.DataFrame) -> pl.DataFrame:
    """Merge consecutive as-ofs with the same reason: ``first``, ``last``, ``rows``."""
    return (
        explanations.group_by(
            pl.struct("used", "reason").rle_id().alias("run"), "used", "reason", maintain_order=True
        )
        .agg(first=pl.col("as_of").first(), last=pl.col("as_of").last(), rows=pl.len())
        .select("first", "last", "rows", "used", "reason")
    )


def _explain_burn_in(as_ofs: pl.Series, first_day: date | None, days: int) -> pl.DataFrame:
    """Return the as-ofs of the burn-in period, before the first evaluated as-of."""
    evaluated: set[date] = set(as_ofs)
    burn_in_dates: set[date] = set()
    for start in evaluated:
        as_of = start - _MONTH
        while first_day and as_of > first_day and as_of not in evaluated | burn_in_dates:
            burn_in_dates.add(as_of)
            as_of -= _MONTH
    reason = f"in the first {days} days of the log, when every user appears new"
    return pl.DataFrame({"as_of": sorted(burn_in_dates)}, schema={"as_of": pl.Date}).with_columns(
        used=pl.lit(value=False), reason=pl.lit(f"{reason} (eligibility.burn_in_days)")
    )


def _explain_eligible(
    rows: pl.DataFrame, history: TrainingHistory, settings: Settings
) -> pl.DataFrame:
    """Return the label of each eligible snapshot, or why it has none."""
    horizon = settings.outcome.horizon_days
    labels = build_outcomes(rows, history.contracts, cutoff=history.as_of, rules=settings.outcome)
    expanded = expansion_label(horizon)
    shorter = [days for days in settings.model.horizons_days if days < horizon]
    matured = [pl.when(pl.col("observed_days") >= days).then(pl.lit(days)) for days in shorter]
    longest_matured = pl.max_horizontal(pl.lit(None, dtype=pl.Int32), *matured)
    unfinished = pl.lit("eligible, but its window had not ended at the end of the history")
    reason = (
        pl.when(expanded)
        .then(pl.format("{} expansion within {} days", "kind", pl.lit(horizon)))
        .when(~expanded)
        .then(pl.lit(f"no expansion within {horizon} days"))
        .when((pl.col("observed_days") < horizon) & longest_matured.is_not_null())
        .then(pl.format("{}; used for horizons up to {} days", unfinished, longest_matured))
        .when(pl.col("observed_days") < horizon)
        .then(unfinished)
        .otherwise(pl.lit("eligible, but an increase in its window may be a price change"))
    )
    return labels.select("as_of", used=expanded.is_not_null(), reason=reason)
