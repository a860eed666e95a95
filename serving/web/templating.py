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

from serving.notify.digest.text_utils import to_single_line

__all__ = ["STATIC", "as_utc", "format_moment", "render_template"]

STATIC: Final = Path(str(resources.files("serving.web") / "static"))


def render_template(name: str, **variables: Any) -> str:  # noqa: ANN401 - whatever the template asks for
    """Write a page."""
    return _environment().get_template(name).render(**variables)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "day": _format_day,
        "moment": format_moment,
        "share": _format_share,
        "amount": _format_amount,
        "line": to_single_line,
        "sentences": _clean_sentences,
        "coded": _backticks_to_code,
        "upper_first": _upper_first,
    }
    environment.globals["static"] = _build_static_url
    return environment


@cache
def _build_static_url(name: str) -> str:
    """The address of a static file, another one when it changes."""
    content_hash = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{content_hash}"


def _format_day(value: date | str | None, today: date | None = None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        value = date.fromisoformat(value)
    if isinstance(value, datetime):
        value = as_utc(value).date()
    year = "" if today is not None and value.year == today.year else f" {value.year}"
    return f"{value.day} {value:%B}{year}"


def format_moment(value: datetime | None) -> str:
    """Write a moment as a reader of any zone understands it."""
    if value is None:
        return "–"
    value = as_utc(value)
    return f"{value.day} {value:%b %Y, %H:%M} UTC"


def as_utc(value: datetime) -> datetime:
    """Bring what a database gave into UTC: SQLite leaves the zone out, PostgreSQL has its own."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _format_share(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _format_amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _backticks_to_code(text: str) -> Markup:
    """Show as code what a sentence has between backticks."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]  # not capitalize(), which makes a QBR a Qbr


def _clean_sentences(texts: list[str] | None) -> list[str]:
    return [line for line in (to_single_line(each) for each in texts or ()) if line]
