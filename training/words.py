"""Numbers as a sentence says them: exact, short, and never more certain than they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor, isnan
from typing import Any, Final

__all__ = ["UnknownValueError", "Words", "of"]

_MONTH: Final = 30.4375
_YEAR: Final = 365.25


class UnknownValueError(Exception):
    """A sentence would have shown a value that is not known: it is not told."""


@dataclass(frozen=True)
class Words:
    """How numbers are written in one language.

    Attributes
    ----------
    thousands, decimal, percent : str
        What stands between thousands, before decimals, and after a share of a hundred.
    day, month, year : tuple of str
        The noun of one, and of several.

    Examples
    --------
    >>> words = Words()
    >>> words.n(1204.0), words.n(6.44), words.count(1.0, "seat", "seats"), words.percent(0.997)
    ('1,204', '6.4', '1 seat', '99.7%')
    >>> words.span(45), words.span(400), words.span(1100)
    ('45 days', '13 months', '3 years')
    """

    thousands: str = ","
    decimal: str = "."
    percent_sign: str = "%"
    day: tuple[str, str] = ("day", "days")
    month: tuple[str, str] = ("month", "months")
    year: tuple[str, str] = ("year", "years")

    def n(self, value: float) -> str:
        """Write a number: whole from ten on, with one decimal below where it has one."""
        if isnan(value):
            raise UnknownValueError
        text = f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0")
        return self._written("0" if text == "-0" else text)

    def count(self, value: float, one: str, many: str) -> str:
        """Write a number with its noun."""
        return f"{self.n(value)} {one if self.n(value) == '1' else many}"

    def percent(self, value: float) -> str:
        """Write a share; less than all is not told as all, nor more than nothing as nothing."""
        if isnan(value):
            raise UnknownValueError
        size = abs(value)
        told = f"{size * 100:,.0f}"
        if told in {"0", "100"} and size not in {0.0, 1.0}:
            held = min(max(size, 0.001), 0.999) if size < 1 else max(size, 1.001)
            told = f"{held * 100:.1f}"
        return f"{'-' if value < 0 else ''}{self._written(told)}{self.percent_sign}"

    def span(self, days: float) -> str:
        """Write a stretch of time in whole days, from two months on in months, then in years."""
        if isnan(days):
            raise UnknownValueError
        unit, size = self.day, 1.0
        if days >= 60:
            unit, size = (self.month, _MONTH) if days < 731 else (self.year, _YEAR)
        return self.count(floor(days / size), *unit)

    def functions(self) -> dict[str, Callable[..., str]]:
        """Give the functions that a template may call, by name."""
        return {"n": self.n, "count": self.count, "percent": self.percent, "span": self.span}

    def _written(self, text: str) -> str:
        if (self.thousands, self.decimal) == (",", "."):
            return text
        return "".join({",": self.thousands, ".": self.decimal}.get(each, each) for each in text)


def of(told: Mapping[str, Any]) -> Words:
    """Read the words of a file of sentences."""
    nouns = {name: (told[name][0], told[name][1]) for name in ("day", "month", "year")}
    return Words(told["thousands"], told["decimal"], told["percent"], **nouns)
