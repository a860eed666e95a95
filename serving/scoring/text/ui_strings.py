"""UI strings of a list row, with their numbers and dates.

A string is a template (:mod:`training.explain.template_engine`) whose placeholders are texts.
``ui_strings.toml`` holds the defaults.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial
from importlib import resources
from typing import Any, Final

import polars as pl

from data.errors import SettingsError
from training.explain.number_format import DEFAULT_NUMBER_FORMAT, NumberFormat
from training.explain.template_engine import (
    CompiledTemplate,
    check_names,
    compile_template,
    create_environment,
)

__all__ = ["UiStrings", "load_ui_strings", "round_to_percent"]

_JINJA_TAG: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"\{\{ (\w+) \}\}")
_MONTH_NAMES_KEY: Final = "month_names"
_SAMPLES: Final = ("1", "12", "45 days")


@dataclass(frozen=True)
class UiStrings:
    """Templates of the texts in a list row, by name, and the format of their numbers."""

    templates: Mapping[str, CompiledTemplate] = field(repr=False)
    number_format: NumberFormat

    def format_text(self, name: str, **values: str | float) -> str:
        """Fill a template with texts and numbers.

        Examples
        --------
        >>> load_ui_strings({}).format_text("band_none", accounts=1200)
        'None of 1,200 accounts in this band expanded'
        """
        template = self.templates[name]
        used_values = (values[variable] for variable in template.variables)
        return template.render(
            value if isinstance(value, str) else self.number_format.format_number(value)
            for value in used_values
        )

    def format_expr(self, name: str, **values: pl.Expr) -> pl.Expr:
        """Fill a template with expressions of texts and numbers; null where a used value is null.

        Examples
        --------
        >>> pl.select(load_ui_strings({}).format_expr("tier_reached", tier=pl.lit(1))).item()
        'Now tier 1'
        """
        used_values = {variable: values[variable] for variable in self.templates[name].variables}
        if not used_values:
            return pl.lit(self.format_text(name))
        return _map_distinct(partial(self.format_text, name), **used_values)

    def pluralize(self, value: pl.Expr, noun: str) -> pl.Expr:
        """Format a count with its noun: 1 day, 1,200 days."""
        number = value.round(0)
        return (
            pl.when(number == 1)
            .then(self.format_expr(f"one_{noun}"))
            .otherwise(self.format_expr(f"{noun}s", number=number))
        )

    def format_percent(self, value: pl.Expr) -> pl.Expr:
        """Format a share as a whole percentage."""
        return self.format_expr("percent", number=round_to_percent(value))

    def format_day(self, value: pl.Expr, as_of: date) -> pl.Expr:
        """Format a date, with its year where that differs; a date not after the as-of is "now"."""
        names = self.format_text(_MONTH_NAMES_KEY).split()

        def describe_day(day: date) -> str:
            if day <= as_of:
                return self.format_text("now")
            name = "date" if day.year == as_of.year else "date_of_year"
            return self.format_text(
                name, day=day.day, month=names[day.month - 1], year=str(day.year)
            )

        return _map_distinct(describe_day, day=value)

    def format_days_ago(self, days: pl.Expr) -> pl.Expr:
        """Format the number of days since an event."""

        def describe_days(days: int) -> str:
            if days in {0, 1, 7}:
                return self.format_text({0: "today", 1: "yesterday", 7: "a_week_ago"}[days])
            if days % 7 == 0 and days <= 56:
                return self.format_text("weeks_ago", number=days // 7)
            return self.format_text("days_ago", number=days)

        return _map_distinct(describe_days, days=days)


def load_ui_strings(
    overrides: Mapping[str, str], number_format: NumberFormat = DEFAULT_NUMBER_FORMAT
) -> UiStrings:
    """Merge the company's own strings into the defaults.

    ``overrides`` is the setting ``scoring.ui_strings``; ``number_format`` that of the reason
    templates, so that all texts of a row agree.

    Raises ``SettingsError`` if a string or one of its placeholders is unknown, or a template cannot
    be rendered.
    """
    return _compile_strings(frozenset(overrides.items()), number_format)


@lru_cache(maxsize=8)
def _compile_strings(
    overrides: frozenset[tuple[str, str]], number_format: NumberFormat
) -> UiStrings:
    own_strings = dict(overrides)
    defaults = tomllib.loads(
        (resources.files("serving.scoring.text") / "ui_strings.toml").read_text(encoding="utf-8")
    )
    check_names(own_strings, defaults, "scoring.ui_strings")
    environment = create_environment({})
    templates = {}
    for name, default in defaults.items():
        placeholders, text = _PLACEHOLDER.findall(default), own_strings.get(name, default)
        location = f"scoring.ui_strings.{name}"
        _check_braces(text, placeholders, location)
        templates[name] = compile_template(
            environment, text, variables=placeholders, samples=_SAMPLES, location=location
        )
    strings = UiStrings(templates, number_format)
    month_count = len(strings.format_text(_MONTH_NAMES_KEY).split())
    if month_count != 12:
        raise SettingsError(
            f"scoring.ui_strings.{_MONTH_NAMES_KEY}: expected twelve month names, separated by"
            f" spaces; found {month_count}."
        )
    return strings


def round_to_percent(value: pl.Expr) -> pl.Expr:
    """Round a share to whole per cent, halves to even."""
    return (value * 100).round(0, mode="half_to_even").cast(pl.Int64)


def _check_braces(text: str, placeholders: list[str], location: str) -> None:
    """Reject braces outside Jinja tags, such as the placeholder {name} in single braces."""
    if re.search(r"[{}]", _JINJA_TAG.sub("", text)):
        expected = ", ".join(f"{{{{ {name} }}}}" for name in placeholders) or "none"
        raise SettingsError(
            f"{location}: expected only placeholders in double braces, here {expected}; found"
            f" {text!r}."
        )


def _map_distinct(function: Callable[..., str], **values: pl.Expr) -> pl.Expr:
    """Call a function once per distinct combination of values; null where one of them is null."""

    def map_rows(structs: pl.Series) -> pl.Series:
        rows = structs.struct.unnest()
        distinct = rows.unique().drop_nulls()
        texts: list[Any] = [function(**row) for row in distinct.iter_rows(named=True)]
        joined = rows.join(
            distinct.with_columns(pl.Series("_text", texts, dtype=pl.String)),
            on=rows.columns,
            how="left",
            maintain_order="left",
        )
        return joined["_text"]

    structs = pl.struct(value.alias(name) for name, value in values.items())
    return structs.map_batches(map_rows, return_dtype=pl.String, is_elementwise=True)
