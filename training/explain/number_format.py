"""Number formatting for reason texts: short, localizable, never rounded to 0% or 100%."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor, isnan
from typing import Any, Final

__all__ = ["DEFAULT_NUMBER_FORMAT", "NumberFormat", "UnknownValueError"]

_DAYS_PER_MONTH: Final = 30.4375
_DAYS_PER_YEAR: Final = 365.25


class UnknownValueError(Exception):
    """A template would have shown an unknown value; its text is skipped."""


@dataclass(frozen=True)
class NumberFormat:
    """Number format of one language.

    Attributes
    ----------
    thousands, decimal, percent_sign : str
        Thousands separator, decimal separator, and percent sign.
    day, month, year : tuple of str
        Singular and plural noun.

    Examples
    --------
    >>> fmt = NumberFormat()
    >>> fmt.format_number(1204.0), fmt.format_number(6.44), fmt.format_count(1.0, "seat", "seats")
    ('1,204', '6.4', '1 seat')
    >>> fmt.format_percent(0.997)
    '99.7%'
    >>> fmt.format_duration(45), fmt.format_duration(400), fmt.format_duration(1100)
    ('45 days', '13 months', '3 years')
    """

    thousands: str = ","
    decimal: str = "."
    percent_sign: str = "%"
    day: tuple[str, str] = ("day", "days")
    month: tuple[str, str] = ("month", "months")
    year: tuple[str, str] = ("year", "years")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "NumberFormat":
        """Create the format from the table ``number_format`` of a template file."""
        nouns = {name: (config[name][0], config[name][1]) for name in ("day", "month", "year")}
        return cls(config["thousands"], config["decimal"], config["percent"], **nouns)

    def format_number(self, value: float) -> str:
        """Format a number: an integer from 10 up, one decimal below where it is not whole."""
        if isnan(value):
            raise UnknownValueError
        text = f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0")
        return self._localize("0" if text == "-0" else text)

    def format_count(self, value: float, one: str, many: str) -> str:
        """Format a number with its noun."""
        return f"{self.format_number(value)} {one if self.format_number(value) == '1' else many}"

    def format_percent(self, value: float) -> str:
        """Format a share; 0% and 100% appear only for exactly 0 and 1."""
        if isnan(value):
            raise UnknownValueError
        magnitude = abs(value)
        text = f"{magnitude * 100:,.0f}"
        if text in {"0", "100"} and magnitude not in {0.0, 1.0}:
            clipped = min(max(magnitude, 0.001), 0.999) if magnitude < 1 else max(magnitude, 1.001)
            text = f"{clipped * 100:.1f}"
        return f"{'-' if value < 0 else ''}{self._localize(text)}{self.percent_sign}"

    def format_duration(self, days: float) -> str:
        """Format a duration in whole days, in months from two months up, then in years."""
        if isnan(days):
            raise UnknownValueError
        unit, size = self.day, 1.0
        if days >= 60:
            unit, size = (
                (self.month, _DAYS_PER_MONTH) if days < 731 else (self.year, _DAYS_PER_YEAR)
            )
        return self.format_count(floor(days / size), *unit)

    def get_template_functions(self) -> dict[str, Callable[..., str]]:
        """Return the functions that a template may call, by name."""
        return {
            "n": self.format_number,
            "count": self.format_count,
            "percent": self.format_percent,
            "span": self.format_duration,
        }

    def _localize(self, text: str) -> str:
        separators = {ord(","): self.thousands, ord("."): self.decimal}
        return text.translate(separators)


DEFAULT_NUMBER_FORMAT: Final = NumberFormat()
