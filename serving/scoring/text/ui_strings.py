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

__all__ = [
    "UiStrings",
    "format_integer",
    "load_default_strings",
    "load_ui_strings",
    "round_to_percent",
]

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_MONTH_NAMES_KEY: Final = "month_names"


@dataclass(frozen=True)
class UiStrings:
    """How a line is worded.

    Attributes
    ----------
    templates : mapping of str to str
        Name → template.
    """

    templates: Mapping[str, str] = field(repr=False)

    def format_expr(self, name: str, **values: pl.Expr) -> pl.Expr:
        """Put parts into a phrase; null where one that is told is.

        Examples
        --------
        >>> pl.select(load_default_strings().format_expr("tier_first", tier=pl.lit(1))).item()
        'Now tier 1'
        """
        template = self.templates[name]
        ordered_values = [values[part] for part in _PLACEHOLDER.findall(template)]
        return (
            pl.format(_PLACEHOLDER.sub("{}", template), *ordered_values)
            if ordered_values
            else pl.lit(template)
        )

    def format_text(self, name: str, **values: int) -> str:
        """Put whole numbers into a phrase."""
        return _PLACEHOLDER.sub(lambda part: f"{values[part[1]]:,}", self.templates[name])

    def pluralize(self, value: pl.Expr, noun: str) -> pl.Expr:
        """Write a number of things: 1 day, 2 days.

        Examples
        --------
        >>> pl.select(load_default_strings().pluralize(pl.lit(1200), "day")).item()
        '1,200 days'
        """
        plural = self.format_expr(f"{noun}s", number=format_integer(value))
        return pl.when(value.round(0) == 1).then(self.format_expr(f"one_{noun}")).otherwise(plural)

    def format_percent(self, value: pl.Expr) -> pl.Expr:
        """Write a share in whole per cent, as the list does."""
        return self.format_expr("percent", number=round_to_percent(value))

    def format_day(self, value: pl.Expr, as_of: date) -> pl.Expr:
        """Write a day, with its year where that is another; what is not to come is now."""
        names = self.templates[_MONTH_NAMES_KEY].split()
        parts = {
            "day": value.dt.day(),
            "month": value.dt.month().replace_strict(dict(enumerate(names, start=1))),
            "year": value.dt.year(),
        }
        same_year = value.dt.year() == as_of.year
        text = (
            pl.when(same_year)
            .then(self.format_expr("date", **parts))
            .otherwise(self.format_expr("date_of_year", **parts))
        )
        return pl.when(value <= as_of).then(self.format_expr("now")).otherwise(text)

    def format_days_ago(self, days: pl.Expr) -> pl.Expr:
        """Write how long ago something was."""
        weeks = days // 7
        return (
            pl.when(days == 0)
            .then(self.format_expr("today"))
            .when(days == 1)
            .then(self.format_expr("yesterday"))
            .when(days == 7)
            .then(self.format_expr("a_week_ago"))
            .when((days % 7 == 0) & (weeks <= 8))
            .then(self.format_expr("weeks_ago", number=weeks))
            .otherwise(self.format_expr("days_ago", number=format_integer(days)))
        )


@cache
def load_default_strings() -> UiStrings:
    """Give the phrases that come with the program."""
    text = (resources.files("serving.scoring.text") / "ui_strings.toml").read_text(encoding="utf-8")
    return UiStrings(tomllib.loads(text))


def load_ui_strings(overrides: Mapping[str, str]) -> UiStrings:
    """Give a company's own phrases; what it leaves out stays as it is.

    Raises
    ------
    data.errors.SettingsError
        If there is no such phrase, or it has no such part.
    """
    defaults = load_default_strings().templates
    for name, template in overrides.items():
        if name not in defaults:
            nearest = difflib.get_close_matches(name, defaults, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"scoring.ui_strings: there is no phrase {name}. Did you mean {nearest}?"
            )
        _validate_placeholders(name, template, defaults[name])
    return UiStrings({**defaults, **overrides})


def _validate_placeholders(name: str, template: str, default_template: str) -> None:
    if name == _MONTH_NAMES_KEY and len(template.split()) != 12:
        raise SettingsError(
            f"scoring.ui_strings.{name}: expected the names of twelve months, parted by spaces; found"
            f" {len(template.split())}."
        )
    allowed = _PLACEHOLDER.findall(default_template)
    remainder = _PLACEHOLDER.sub(lambda part: "" if part[1] in allowed else part[0], template)
    if re.search(r"[{}]", remainder):
        parts = ", ".join(f"{{{part}}}" for part in allowed) or "none"
        raise SettingsError(
            f"scoring.ui_strings.{name}: braces hold the parts of a phrase, here {parts}; found"
            f" {template!r}."
        )


def format_integer(value: pl.Expr) -> pl.Expr:
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


def round_to_percent(value: pl.Expr) -> pl.Expr:
    """Round a share to whole per cent, to the even one where it lies between two."""
    return (value * 100).round(0, mode="half_to_even").cast(pl.Int64)
