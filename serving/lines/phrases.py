"""The phrases of a line beside its reasons, and how numbers and days are put into them.

A phrase is a template whose parts stand in braces. ``phrases.toml`` beside this holds those that
are told unless a company says otherwise.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib import resources
from typing import Final

import polars as pl

from data.errors import SettingsError

__all__ = ["Phrases", "default", "hundredths", "of", "whole"]

_PART: Final = re.compile(r"\{(\w+)\}")
_MONTHS: Final = "month_names"


@dataclass(frozen=True)
class Phrases:
    """How a line is worded.

    Attributes
    ----------
    templates : mapping of str to str
        Name → template.
    """

    templates: Mapping[str, str] = field(repr=False)

    def said(self, name: str, **parts: pl.Expr) -> pl.Expr:
        """Put parts into a phrase; null where one that is told is.

        Examples
        --------
        >>> pl.select(default().said("tier_first", tier=pl.lit(1))).item()
        'Now tier 1'
        """
        template = self.templates[name]
        told = [parts[part] for part in _PART.findall(template)]
        return pl.format(_PART.sub("{}", template), *told) if told else pl.lit(template)

    def text(self, name: str, **parts: int) -> str:
        """Put whole numbers into a phrase."""
        return _PART.sub(lambda part: f"{parts[part[1]]:,}", self.templates[name])

    def counted(self, value: pl.Expr, noun: str) -> pl.Expr:
        """Write a number of things: 1 day, 2 days.

        Examples
        --------
        >>> pl.select(default().counted(pl.lit(1200), "day")).item()
        '1,200 days'
        """
        many = self.said(f"{noun}s", number=whole(value))
        return pl.when(value.round(0) == 1).then(self.said(f"one_{noun}")).otherwise(many)

    def percent(self, value: pl.Expr) -> pl.Expr:
        """Write a share in whole per cent, as the list does."""
        return self.said("percent", number=hundredths(value))

    def day(self, value: pl.Expr, as_of: date) -> pl.Expr:
        """Write a day, with its year where that is another; what is not to come is now."""
        names = self.templates[_MONTHS].split()
        parts = {
            "day": value.dt.day(),
            "month": value.dt.month().replace_strict(dict(enumerate(names, start=1))),
            "year": value.dt.year(),
        }
        same = value.dt.year() == as_of.year
        told = (
            pl.when(same)
            .then(self.said("date", **parts))
            .otherwise(self.said("date_of_year", **parts))
        )
        return pl.when(value <= as_of).then(self.said("now")).otherwise(told)

    def ago(self, days: pl.Expr) -> pl.Expr:
        """Write how long ago something was."""
        weeks = days // 7
        return (
            pl.when(days == 0)
            .then(self.said("today"))
            .when(days == 1)
            .then(self.said("yesterday"))
            .when(days == 7)
            .then(self.said("a_week_ago"))
            .when((days % 7 == 0) & (weeks <= 8))
            .then(self.said("weeks_ago", number=weeks))
            .otherwise(self.said("days_ago", number=whole(days)))
        )


@cache
def default() -> Phrases:
    """Give the phrases that come with the program."""
    text = (resources.files("serving.lines") / "phrases.toml").read_text(encoding="utf-8")
    return Phrases(tomllib.loads(text))


def of(own: Mapping[str, str]) -> Phrases:
    """Give a company's own phrases; what it leaves out stays as it is.

    Raises
    ------
    data.errors.SettingsError
        If there is no such phrase, or it has no such part.
    """
    known = default().templates
    for name, template in own.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"scoring.phrases: there is no phrase {name}. Did you mean {nearest}?"
            )
        _refuse_parts(name, template, known[name])
    return Phrases({**known, **own})


def _refuse_parts(name: str, template: str, usual: str) -> None:
    if name == _MONTHS and len(template.split()) != 12:
        raise SettingsError(
            f"scoring.phrases.{name}: expected the names of twelve months, parted by spaces; found"
            f" {len(template.split())}."
        )
    allowed = _PART.findall(usual)
    left = _PART.sub(lambda part: "" if part[1] in allowed else part[0], template)
    if re.search(r"[{}]", left):
        parts = ", ".join(f"{{{part}}}" for part in allowed) or "none"
        raise SettingsError(
            f"scoring.phrases.{name}: braces hold the parts of a phrase, here {parts}; found"
            f" {template!r}."
        )


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


def hundredths(value: pl.Expr) -> pl.Expr:
    """Round a share to whole per cent, to the even one where it lies between two."""
    return (value * 100).round(0, mode="half_to_even").cast(pl.Int64)
