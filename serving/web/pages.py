"""The templates, and the words and numbers in them; whatever comes from data is escaped."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from serving.digest.plain import one_line

__all__ = ["STATIC", "moment", "render", "utc"]

STATIC: Final = Path(str(resources.files("serving.web") / "static"))


def render(name: str, **told: Any) -> str:  # noqa: ANN401 - whatever the template asks for
    """Write a page."""
    return _environment().get_template(name).render(**told)


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "day": _day,
        "moment": moment,
        "share": _share,
        "amount": _amount,
        "line": one_line,
        "sentences": _sentences,
        "coded": _coded,
        "upper_first": _upper_first,
    }
    made.globals["static"] = _static
    return made


@cache
def _static(name: str) -> str:
    """The address of a static file, another one when it changes."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


def _day(value: date | str | None, today: date | None = None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        value = date.fromisoformat(value)
    if isinstance(value, datetime):
        value = utc(value).date()
    year = "" if today is not None and value.year == today.year else f" {value.year}"
    return f"{value.day} {value:%B}{year}"


def moment(value: datetime | None) -> str:
    """Write a moment as a reader of any zone understands it."""
    if value is None:
        return "–"
    value = utc(value)
    return f"{value.day} {value:%b %Y, %H:%M} UTC"


def utc(value: datetime) -> datetime:
    """Bring what a database gave into UTC: SQLite leaves the zone out, PostgreSQL has its own."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _share(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _coded(text: str) -> Markup:
    """Show as code what a sentence has between backticks."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]  # not capitalize(), which makes a QBR a Qbr


def _sentences(told: list[str] | None) -> list[str]:
    return [line for line in (one_line(each) for each in told or ()) if line]
