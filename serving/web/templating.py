"""Jinja environment and its filters; all values are escaped by default."""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from serving.notify.digest.text_utils import clean_sentences, to_single_line
from serving.store import as_utc

__all__ = ["STATIC", "format_moment", "render_template"]

STATIC: Final = Path(str(resources.files("serving.web") / "static"))


def render_template(name: str, **variables: Any) -> str:  # noqa: ANN401 - template variables
    """Render a template."""
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
        "date": _format_date,
        "moment": format_moment,
        "percent": _format_percent,
        "amount": _format_amount,
        "one_line": to_single_line,
        "sentences": clean_sentences,
        "code_spans": _backticks_to_code,
        "upper_first": _upper_first,
    }
    environment.globals["static"] = _build_static_url
    return environment


@cache
def _build_static_url(name: str) -> str:
    """Return the URL of a static file, with a content hash as cache key."""
    content_hash = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{content_hash}"


def _format_date(value: date | str | None, today: date | None = None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        value = date.fromisoformat(value)
    if isinstance(value, datetime):
        value = as_utc(value).date()
    year = "" if today is not None and value.year == today.year else f" {value.year}"
    return f"{value.day} {value:%B}{year}"


def format_moment(value: datetime | None) -> str:
    """Format a time in UTC, with the zone."""
    if value is None:
        return "–"
    value = as_utc(value)
    return f"{value.day} {value:%b %Y, %H:%M} UTC"


def _format_percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _format_amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _backticks_to_code(text: str) -> Markup:
    """Escape the text, and render backtick spans as ``<code>``."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]  # capitalize() would turn QBR into Qbr
