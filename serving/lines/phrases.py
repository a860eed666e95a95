"""The phrases of a line beside its signals, and how numbers and days are put into them.

A phrase is a template whose parts stand in braces; they may stand in any order.
"""

import re
from datetime import date
from typing import Final

import polars as pl

__all__ = ["PHRASES", "ago", "counted", "day", "hundredths", "percent", "said", "whole"]

PHRASES: Final = {
    # why no ask is made
    "leaving": "{chance} chance to leave within {days}: first keep them",
    "worked": "Worked {ago}: left alone until {until}",
    "flat": "{share} of the seats in use, flat for {months} and nobody new: find new use first",
    # what has changed since the list before
    "new": "New on the list",
    "tier first": "Now tier {tier}",
    "tier other": "Now tier {tier}, was {before}",
    "tier gone": "No longer tier {before}",
    "limit seats": "Now running into its seats",
    "limit usage": "Now running into its usage limit",
    "chance up": "Chance up from {before} {ago}",
    "chance down": "Chance down from {before} {ago}",
    "date moved": "Readiness date moved from {before} to {now}",
    "date first": "Readiness date named: {now}",
    "date gone": "No specific readiness date any more",
    # why a number rests on little
    "new customer": "A customer for {days} only: little history behind this line",
    "no use": "No event in the last 30 days: little to go by",
    "little use": "Only {events} in the last 30 days: little to go by",
    "gaps": "{missing} of {asked} features are not known of this account",
    "no revenue": "No revenue on file: listed after all that have it",
}
_PART: Final = re.compile(r"\{(\w+)\}")


def said(phrase: str, **parts: pl.Expr) -> pl.Expr:
    """Put parts into a phrase; null where one of them is.

    Examples
    --------
    >>> pl.select(said("tier first", tier=pl.lit(1))).item()
    'Now tier 1'
    """
    template = PHRASES[phrase]
    if not parts:
        return pl.lit(template)
    return pl.format(_PART.sub("{}", template), *(parts[name] for name in _PART.findall(template)))


def whole(value: pl.Expr) -> pl.Expr:
    """Write a whole number with commas between its thousands."""
    number = value.round(0).cast(pl.Int64)
    thousands, rest = number // 1000, (number % 1000).cast(pl.String).str.zfill(3)
    return (
        pl.when(number < 1000)
        .then(number.cast(pl.String))
        .when(thousands < 1000)
        .then(pl.format("{},{}", thousands, rest))
        .otherwise(
            pl.format(
                "{},{},{}", thousands // 1000, (thousands % 1000).cast(pl.String).str.zfill(3), rest
            )
        )
    )


def counted(value: pl.Expr, noun: str) -> pl.Expr:
    """Write a number of things: 1 day, 2 days.

    Examples
    --------
    >>> pl.select(counted(pl.lit(1200), "day").alias("n")).item()
    '1,200 days'
    """
    things = pl.when(value.round(0) == 1).then(pl.lit(noun)).otherwise(pl.lit(f"{noun}s"))
    return pl.format("{} {}", whole(value), things)


def percent(value: pl.Expr) -> pl.Expr:
    """Write a share in whole per cent, as the list does."""
    return pl.format("{}%", hundredths(value))


def hundredths(value: pl.Expr) -> pl.Expr:
    """Round a share to whole per cent, to the even one where it lies between two."""
    return (value * 100).round(0, mode="half_to_even").cast(pl.Int64)


def day(value: pl.Expr, as_of: date) -> pl.Expr:
    """Write a day, with its year where that is another; what is not to come is now."""
    here = value.dt.strftime("%-d %B")
    other = value.dt.strftime("%-d %B %Y")
    told = pl.when(value.dt.year() == as_of.year).then(here).otherwise(other)
    return pl.when(value <= as_of).then(pl.lit("now")).otherwise(told)


def ago(days: pl.Expr) -> pl.Expr:
    """Write how long ago something was."""
    weeks = days // 7
    return (
        pl.when(days == 0)
        .then(pl.lit("today"))
        .when(days == 1)
        .then(pl.lit("yesterday"))
        .when(days == 7)
        .then(pl.lit("a week ago"))
        .when((days % 7 == 0) & (weeks <= 8))
        .then(pl.format("{} weeks ago", weeks))
        .otherwise(pl.format("{} ago", counted(days, "day")))
    )
