"""UI strings of a list row, and the formatting of numbers and dates in them.

A string is a template with placeholders in braces. ``ui_strings.toml`` holds the defaults.
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
    """Templates of the texts in a list row.

    Attributes
    ----------
    templates : mapping of str to str
        Name → template.
    """

    templates: Mapping[str, str] = field(repr=False)

    def format_expr(self, name: str, **values: pl.Expr) -> pl.Expr:
        """Fill a template with expressions; null where a used value is null.

        Examples
        --------
        >>> pl.select(load_default_strings().format_expr("tier_reached", tier=pl.lit(1))).item()
        'Now tier 1'
        """
        template = self.templates[name]
        ordered_values = [values[name] for name in _PLACEHOLDER.findall(template)]
        if not ordered_values:
            return pl.lit(template)
        return pl.format(_PLACEHOLDER.sub("{}", template), *ordered_values)

    def format_text(self, name: str, **values: int) -> str:
        """Fill a template with whole numbers."""
        return _PLACEHOLDER.sub(lambda match: f"{values[match[1]]:,}", self.templates[name])

    def pluralize(self, value: pl.Expr, noun: str) -> pl.Expr:
        """Format a count with its noun: 1 day, 2 days.

        Examples
        --------
        >>> pl.select(load_default_strings().pluralize(pl.lit(1200), "day")).item()
        '1,200 days'
        """
        plural = self.format_expr(f"{noun}s", number=format_integer(value))
        return pl.when(value.round(0) == 1).then(self.format_expr(f"one_{noun}")).otherwise(plural)

    def format_percent(self, value: pl.Expr) -> pl.Expr:
        """Format a share as a whole percentage."""
        return self.format_expr("percent", number=round_to_percent(value))

    def format_day(self, value: pl.Expr, as_of: date) -> pl.Expr:
        """Format a date, with its year where that differs; a date not after the as-of is "now"."""
        names = self.templates[_MONTH_NAMES_KEY].split()
        values = {
            "day": value.dt.day(),
            "month": value.dt.month().replace_strict(dict(enumerate(names, start=1))),
            "year": value.dt.year(),
        }
        same_year = value.dt.year() == as_of.year
        text = (
            pl.when(same_year)
            .then(self.format_expr("date", **values))
            .otherwise(self.format_expr("date_of_year", **values))
        )
        return pl.when(value <= as_of).then(self.format_expr("now")).otherwise(text)

    def format_days_ago(self, days: pl.Expr) -> pl.Expr:
        """Format the number of days since an event."""
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
    """Load the UI strings that come with the program."""
    text = (resources.files("serving.scoring.text") / "ui_strings.toml").read_text(encoding="utf-8")
    return UiStrings(tomllib.loads(text))


def load_ui_strings(overrides: Mapping[str, str]) -> UiStrings:
    """Merge the company's own strings into the defaults.

    Raises
    ------
    data.errors.SettingsError
        If a string or one of its placeholders is unknown.
    """
    defaults = load_default_strings().templates
    for name, template in overrides.items():
        if name not in defaults:
            nearest = difflib.get_close_matches(name, defaults, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"scoring.ui_strings: unknown string {name}. Did you mean {nearest}?"
            )
        _validate_placeholders(name, template, defaults[name])
    return UiStrings({**defaults, **overrides})


def _validate_placeholders(name: str, template: str, default_template: str) -> None:
    if name == _MONTH_NAMES_KEY and len(template.split()) != 12:
        raise SettingsError(
            f"scoring.ui_strings.{name}: expected twelve month names, separated by spaces; found"
            f" {len(template.split())}."
        )
    allowed = _PLACEHOLDER.findall(default_template)
    remainder = _PLACEHOLDER.sub(lambda match: "" if match[1] in allowed else match[0], template)
    if re.search(r"[{}]", remainder):
        placeholders = ", ".join(f"{{{placeholder}}}" for placeholder in allowed) or "none"
        raise SettingsError(
            f"scoring.ui_strings.{name}: expected only the placeholders {placeholders}; found"
            f" {template!r}."
        )


def format_integer(value: pl.Expr) -> pl.Expr:
    """Format a whole number with thousands separators."""
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
    """Round a share to whole per cent, halves to even."""
    return (value * 100).round(0, mode="half_to_even").cast(pl.Int64)
