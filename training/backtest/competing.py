"""Which ways of working compete, each as a plan: whom it would offer on a day."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Playbook, Settings
from training import baselines, tiers
from training.backtest import expansions, lists, ways
from training.backtest.daily import Daily
from training.backtest.known import Known
from training.backtest.ways import Plan

__all__ = ["LIST", "LIST_AND_EVENTS", "plans"]

Array = NDArray[np.float64]
LIST, LIST_AND_EVENTS = "model's weekly list", "weekly list and events"
_REVIEWS = (("manual review, weekly", 7), ("manual review, monthly", 30))


def plans(made: Known, settings: Settings, full: Daily) -> tuple[list[Plan], dict[str, str]]:
    """Say which ways can be replayed, in the order in which they are shown, and why others not.

    Parameters
    ----------
    made : training.backtest.known.Known
        Models and weekly snapshots.
    settings : data.settings.Settings
        ``backtest``: when the reviews and rules take note.
    full : training.backtest.daily.Daily
        How full every contract was, from ``FULL_WITHIN_DAYS`` before the replay.

    Returns
    -------
    found : list of training.backtest.ways.Plan
        Those that can.
    absent : dict of str to str
        Name → why not.
    """
    found: list[Plan] = []
    absent: dict[str, str] = {}
    for name, made_of in _offered(made, settings, full):
        if isinstance(made_of, str):
            absent[name] = made_of
        else:
            found.append(made_of)
    return found, absent


def _offered(made: Known, settings: Settings, full: Daily) -> Iterator[tuple[str, Plan | str]]:
    rules = settings.backtest
    fullness = full.fullness[:, expansions.FULL_WITHIN_DAYS :]
    unknown = (
        ""
        if np.isfinite(fullness).any()
        else "neither licensed seats nor usage limits are known of any account."
    )
    for name, every in _REVIEWS:
        review = ways.review(name, fullness, above=rules.review_share, every_days=every)
        yield name, unknown or review
    nightly = ways.nightly(fullness, share=rules.rule_share)
    yield nightly.name, unknown or nightly
    by_event = ways.events(
        full.fullness,
        share=rules.rule_share,
        days=rules.rule_days,
        before=expansions.FULL_WITHIN_DAYS,
    )
    yield by_event.name, unknown or by_event

    def column(score: pl.Expr) -> Array:
        return lists.of_column(score, made.weekly, full.accounts, made.start, made.days)

    tiered = settings.playbook
    stack = ways.listed(
        "tiered stack",
        f"Every week, tier 1 (seats above {tiered.seat_share:.0%} and new users, or API volume up"
        f" by {tiered.api_growth:.0%} with {tiered.usage_share:.0%} of its limit used), then tier 2"
        " (adoption, departments or integrations growing), the fullest first.",
        column(_tiered(tiered)),
        points=True,
    )
    yield stack.name, stack
    health = "Every week, the accounts of the highest health score first."
    yield "health score", ways.listed("health score", health, column(baselines.health()))
    logins = column(pl.col("logins_30d"))
    yield (
        "login volume",
        ways.listed("login volume", "Every week, the accounts with the most logins first.", logins)
        if np.nansum(logins) > 0
        else "no event of the log plays the role of a login.",
    )
    if made.models is None:
        yield LIST, made.why_none
        yield LIST_AND_EVENTS, made.why_none
        return
    scores = lists.of_models(made.models, made.weekly, full.accounts, made.start, made.days)
    model = ways.listed(
        LIST, "Every week, the model's list from its top, by the model of the day.", scores
    )
    yield LIST, model
    yield (
        LIST_AND_EVENTS,
        unknown
        or ways.both(
            LIST_AND_EVENTS,
            "The model's weekly list, and on the days between the event rule.",
            model,
            by_event,
        ),
    )


def _tiered(rules: Playbook) -> pl.Expr:
    """Tier 1 before tier 2; within a tier the fullest first."""
    fullest = pl.max_horizontal("seat_utilization", "usage_ratio").fill_null(0.0)
    # Fuller is higher without end, but never so high as to reach the next tier.
    return (3 - tiers.tier(rules)) + fullest / (1 + fullest)
