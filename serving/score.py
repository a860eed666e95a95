"""The weekly list: every eligible account with probability, date, signals and rank."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from data import sources
from data.errors import HistoryError
from data.settings import Scoring, Settings
from features import panel
from features.activity import Activity
from features.panel import Panel
from serving import cold, playbook
from training import bands, readiness, signals, sizes
from training.registry import Registered
from training.simple import Simple

__all__ = ["Scored", "record", "score"]

_TIER_1_DAYS = 14


@dataclass(frozen=True)
class Scored:
    """The list of one as-of.

    Attributes
    ----------
    accounts : polars.DataFrame
        One row per eligible account, by rank: ``rank``, ``account_id``, ``name``, ``csm``,
        ``expansion_signal`` (limit and tier, where a tier fires),
        ``probability``, ``low``, ``high``, ``band``, ``readiness_date``, ``expected_date``,
        ``expected_early``, ``expected_late``, ``probability_180d``, ``expected_arr`` (in the
        currency of the contracts), ``churn_probability``, ``limit``, ``tier``,
        ``motion``, ``signals``, ``active_seats``, ``licensed_seats``, ``seat_utilization``,
        ``margin``, ``base``, ``contributions`` (JSON: signal → part of the margin), ``model``.
        Without any model, what only one knows is null.
    left : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``reason`` of every account that is not on the list.
    """

    accounts: pl.DataFrame
    left: pl.DataFrame

    def __repr__(self) -> str:
        return f"Scored({self.accounts.height:,} accounts by rank, {self.left.height:,} left out)"

    def excluded(self) -> dict[str, int]:
        """Reason → accounts that are not on the list."""
        counts = self.left.group_by("reason").agg(pl.len()).sort("reason")
        return dict(counts.iter_rows())


def score(
    model: Registered | None,
    tables: sources.Tables,
    log: Activity,
    as_of: datetime,
    settings: Settings,
) -> Scored:
    """Rank every eligible account as it stood at the as-of.

    Parameters
    ----------
    model : training.registry.Registered or None
        What :func:`training.registry.serving` gave: None where none was ever trained.
    tables, log
        The tables under contract, and the daily activity of the log.
    as_of : datetime.datetime
        00:00 UTC; only what was known before it is used.
    settings : data.settings.Settings
        Eligibility, scoring, seats.

    Returns
    -------
    Scored
        Ranked by the raw margin, ties by account; without a model by the tier rules.

    Raises
    ------
    data.errors.HistoryError
        If the log ended too long before the as-of, or nobody is eligible.
    """
    _refuse_stale(log, as_of, settings.scoring.max_log_age_days)
    built = panel.build(log, tables, [as_of], settings)
    if built.snapshots.is_empty():
        reasons = built.excluded["reason"].value_counts().sort("reason")
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.iter_rows())
        raise HistoryError(
            f"no account is eligible on {as_of:%Y-%m-%d} ({told or 'no account exists yet'});"
            " check the contract history with `expansion check`."
        )
    rules = settings.scoring
    if model is None:
        listed = cold.listed(built.snapshots, as_of, rules)
    else:
        listed = _listed(model, built, as_of, rules)
    names = tables.accounts.rows.select("account_id", "name", "csm", "crm_id")
    ranked = (
        listed.join(names, on="account_id", how="left", maintain_order="left")
        .with_row_index("rank", offset=1)
        .with_columns(
            pl.col("rank").cast(pl.Int64),
            expansion_signal=pl.when(pl.col("tier").is_not_null()).then(
                pl.format("{}: tier {}", "limit", "tier")
            ),
        )
    )
    return Scored(ranked, built.excluded.join(names, on="account_id", how="left"))


def record(
    scored: Scored,
    model: Registered | None,
    tables: sources.Tables,
    log: Activity,
    as_of: datetime,
) -> dict[str, Any]:
    """Say how a list came about: model, data window, counts, quarantine; JSON values."""
    card = {} if model is None else model.card
    small = {name: getattr(tables, name) for name in ("subscriptions", "accounts", "users")}
    return {
        "model": cold.CALLED if model is None else model.called,
        "basis": _basis(model),
        "promotion": None if model is None else model.promotion,
        "verdict": _verdict(model),
        # Of the accounts in a band, how many expanded when the same was said of them before.
        "bands": _bands(model),
        # A model that was trained later than the as-of knows what came after it.
        "hindsight": str(card.get("as_of", "")) > f"{as_of:%Y-%m-%d}",
        "log": {
            "first_day": str(log.first_day),
            "last_day": str(log.last_day),
            "events": log.events,
            "days_missing": _age_days(log, as_of),
        },
        "listed": scored.accounts.height,
        "excluded": scored.excluded(),
        "quarantine": {
            "events": dict(log.quarantine),
            **{name: dict(table.quarantine) for name, table in small.items()},
        },
    }


def _basis(model: Registered | None) -> str:
    """Say by what the accounts are ranked, as a clause."""
    if model is None:
        return "by the tier rules and utilisation, without a probability"
    if isinstance(model.model, Simple):
        return (
            f"by {model.model.ranking}, the best simple ranking of the past, with a probability"
            f" calibrated on it (kept with model version {model.version})"
        )
    told = f"by model version {model.version}"
    if model.promotion and model.promotion["forced"]:
        given = model.promotion
        told += f", promoted against the gate by {given['by']} on {given['at']}: {given['reason']}"
    return told


def _verdict(model: Registered | None) -> str:
    if model is None:
        return "No model was ever trained: run `expansion train` once outcomes are known."
    if isinstance(model.model, Simple):
        ruling = model.card.get("gate", {}).get("sentence", "It was not judged.")
        return f"No model has been promoted. Of version {model.version}: {ruling}"
    return str(model.card.get("verdict", "Not judged."))


def _bands(model: Registered | None) -> list[Mapping[str, Any]]:
    if model is None:
        return []
    return list(
        model.model.bands if isinstance(model.model, Simple) else model.card.get("bands", [])
    )


def _age_days(log: Activity, as_of: datetime) -> int:
    """Whole days before the as-of that the log does not cover."""
    return max((as_of.date() - log.last_day).days - 1, 0) if log.last_day else 0


def _refuse_stale(log: Activity, as_of: datetime, max_days: int) -> None:
    if log.last_day is None:
        raise HistoryError("the log holds no valid event; see its quarantine.")
    age_days = _age_days(log, as_of)
    if age_days > max_days:
        raise HistoryError(
            f"the log ends on {log.last_day}, {age_days} days before {as_of:%Y-%m-%d}; at most"
            f" {max_days} (scoring.max_log_age_days) are allowed. Bring the log up to date, or"
            " score an earlier --as-of."
        )


def _listed(model: Registered, built: Panel, as_of: datetime, rules: Scoring) -> pl.DataFrame:
    snapshots = built.snapshots
    estimate = model.model.estimate(snapshots)
    why = signals.explain(model.model, snapshots)
    advice = playbook.judged(snapshots, plateau_days=rules.plateau_days)
    expected = readiness.dates(model.model.curve(snapshots), model.model.horizons_days)
    frame = snapshots.select(
        "account_id",
        "as_of",
        pl.col("active_seats", "licensed_seats").cast(pl.Int64),
        "seat_utilization",
    ).with_columns(
        probability=pl.Series(estimate.probability),
        low=pl.Series(estimate.low),
        high=pl.Series(estimate.high),
        band=bands.of(pl.Series(estimate.probability)),
        probability_180d=pl.Series(expected.within),
        churn_probability=_churn(model, snapshots),
        margin=pl.Series(estimate.margin),
        base=pl.Series(why.base),
        signals=pl.Series(why.sentences, dtype=pl.List(pl.String)),
        contributions=pl.Series([json.dumps(parts) for parts in why.contributions]),
        model=pl.lit(model.called),
        **_days(expected, as_of),
        **{name: advice[name] for name in advice.columns},
    )
    return frame.with_columns(
        readiness_date=_readiness_date(expected, as_of, frame["tier"], rules),
        expected_arr=_expected_arr(frame, snapshots["mrr"], model.card["expansion_sizes"]),
    ).sort("margin", "account_id", descending=[True, False])


def _churn(model: Registered, snapshots: pl.DataFrame) -> pl.Series:
    """The probability that the contract ends within the horizon; null without such a model."""
    if model.churn is None:
        return pl.Series([None] * snapshots.height, dtype=pl.Float64)
    return pl.Series(model.churn.estimate(snapshots).probability)


def _expected_arr(frame: pl.DataFrame, mrr: pl.Series, shares: Mapping[str, float]) -> pl.Series:
    """Probability × usual rise at the limit the account is running into × yearly revenue.

    Null without revenue. It is what such accounts add on average, not what an outreach causes.
    """
    if not shares:
        return pl.Series([None] * frame.height, dtype=pl.Float64)
    usual = shares[sizes.ANY]
    share = frame["limit"].replace_strict(dict(shares), default=usual, return_dtype=pl.Float64)
    return frame["probability"] * share * 12 * mrr


def _days(expected: readiness.Dates, as_of: datetime) -> dict[str, pl.Series]:
    """Days from the as-of as dates."""
    named = {
        "expected_early": expected.early,
        "expected_date": expected.median,
        "expected_late": expected.late,
    }
    return {
        name: pl.Series([as_of.date() + timedelta(days=int(day)) for day in np.floor(days)])
        for name, days in named.items()
    }


def _readiness_date(
    expected: readiness.Dates, as_of: datetime, tier: pl.Series, rules: Scoring
) -> pl.Series:
    """The day from which to talk; null where the expected date is too uncertain to name one.

    The expected date less the lead time, never before the as-of; at tier 1 within two weeks,
    however wide the interval.
    """
    first = tier.eq(1).fill_null(value=False).to_numpy()
    lead = np.maximum(np.floor(expected.median) - rules.lead_days, 0)
    days = np.where(first, np.minimum(lead, _TIER_1_DAYS), lead)
    likely = expected.within >= rules.date_min_probability
    told = first | (likely & (expected.width <= rules.date_width_days))
    return pl.Series(
        [
            as_of.date() + timedelta(days=int(day)) if said else None
            for day, said in zip(days, told, strict=True)
        ],
        dtype=pl.Date,
    )
