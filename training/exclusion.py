"""What each snapshot of an account was used for, and why another was not."""

from datetime import date, timedelta

import polars as pl

from data.errors import HistoryError
from data.settings import Settings
from training import outcomes
from training.pipeline import History

__all__ = ["explain", "stretches"]

_MONTH = timedelta(days=30)


def explain(past: History, settings: Settings, account: str) -> pl.DataFrame:
    """Say for every as-of of a history what became of one account's row.

    Parameters
    ----------
    past : training.pipeline.History
        From :func:`training.pipeline.history`.
    settings : data.settings.Settings
        Outcome and its horizon.
    account : str
        ``account_id``.

    Returns
    -------
    polars.DataFrame
        ``as_of`` (Date), ``used`` (bool: a row of training at the history's end) and ``why``,
        ordered by as-of, from the first day of the log on.

    Raises
    ------
    data.errors.HistoryError
        If there is no such account.
    """
    accounts = past.tables.accounts.rows.filter(pl.col("account_id") == account)
    if accounts.is_empty():
        raise HistoryError(
            f"no account {account!r} is in the accounts table; its id may be written otherwise,"
            " or its row be in quarantine (`expansion check`)."
        )
    as_ofs = pl.concat([past.panel.snapshots, past.panel.excluded], how="diagonal")["as_of"]
    mine = pl.col("account_id") == account
    rows = past.panel.snapshots.filter(mine).select("account_id", "as_of")
    told = pl.concat(
        [
            _labelled(rows, past, settings),
            past.panel.excluded.filter(mine).select(
                "as_of", used=pl.lit(value=False), why="reason"
            ),
            _burnt_in(as_ofs, past.activity.first_day, settings.eligibility.burn_in_days),
        ]
    )
    return (
        pl.concat([as_ofs, told["as_of"]])
        .unique()
        .to_frame()
        .join(told, on="as_of", how="left")
        .with_columns(
            pl.col("used").fill_null(value=False),
            pl.col("why").fill_null(f"not created before; it was on {_day(accounts)}"),
        )
        .sort("as_of")
    )


def stretches(explained: pl.DataFrame) -> pl.DataFrame:
    """Join as-ofs that follow each other and share a reason: ``first``, ``last``, ``rows``."""
    return (
        explained.group_by(
            pl.struct("used", "why").rle_id().alias("stretch"), "used", "why", maintain_order=True
        )
        .agg(first=pl.col("as_of").first(), last=pl.col("as_of").last(), rows=pl.len())
        .select("first", "last", "rows", "used", "why")
    )


def _burnt_in(as_ofs: pl.Series, first_day: date | None, days: int) -> pl.DataFrame:
    """The as-ofs that would follow before the first, had the log begun earlier."""
    monthly: set[date] = set(as_ofs)
    found: set[date] = set()
    for start in monthly:
        as_of = start - _MONTH
        while first_day and as_of > first_day and as_of not in monthly | found:
            found.add(as_of)
            as_of -= _MONTH
    told = f"in the first {days} days of the log, in which everyone looks new"
    return pl.DataFrame({"as_of": sorted(found)}, schema={"as_of": pl.Date}).with_columns(
        used=pl.lit(value=False), why=pl.lit(f"{told} (eligibility.burn_in_days)")
    )


def _labelled(rows: pl.DataFrame, past: History, settings: Settings) -> pl.DataFrame:
    """Of the eligible snapshots: the outcome, or why it is not known."""
    horizon = settings.outcome.horizon_days
    found = outcomes.build(rows, past.contracts, cut=past.as_of, rules=settings.outcome)
    expanded = outcomes.expanded(horizon)
    shorter = [days for days in settings.model.horizons_days if days < horizon]
    known = [pl.when(pl.col("known_days") >= days).then(pl.lit(days)) for days in shorter]
    tells = pl.max_horizontal(pl.lit(None, dtype=pl.Int32), *known)
    unfinished = pl.lit("eligible, but its window was not complete at the end of the history")
    why = (
        pl.when(expanded)
        .then(pl.format("{} expansion within {} days", "kind", pl.lit(horizon)))
        .when(~expanded)
        .then(pl.lit(f"no expansion within {horizon} days"))
        .when((pl.col("known_days") < horizon) & tells.is_not_null())
        .then(pl.format("{}; it tells of the first {} days", unfinished, tells))
        .when(pl.col("known_days") < horizon)
        .then(unfinished)
        .otherwise(pl.lit("eligible, but a rise in its window cannot be told from a price change"))
    )
    return found.select("as_of", used=expanded.is_not_null(), why=why)


def _day(accounts: pl.DataFrame) -> str:
    return f"{accounts['created_date'][0]:%Y-%m-%d}"
