"""Sphinx directive ``settings-reference``: a table of every setting, generated from the models."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx

from data.config.settings import Settings

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def list_sections(
    model: type[BaseModel], name: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each section of the settings with its name, parents first."""
    yield name, model
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from list_sections(kind, f"{name}.{key}".removeprefix("."))


def list_settings(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield each setting of one section that is no section itself."""
    for key, field in model.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        if not is_section and not field.exclude:
            yield key, field


def format_type(kind: Any) -> str:
    """Return a type as a user would write it.

    Examples
    --------
    >>> format_type(tuple[str, ...]), format_type(Literal["csv", "parquet"]), format_type(int | None)
    ('list of text', '"csv" or "parquet"', 'whole number')
    """
    simple = {
        bool: "true or false",
        float: "number",
        int: "whole number",
        str: "text",
        SecretStr: "secret",
    }
    if kind in simple:
        return simple[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(format_type(each) for each in arguments if each is not type(None))
    if origin is tuple:
        return f"list of {format_type(arguments[0])}"
    if origin is not None and arguments:
        return f"table of {format_type(arguments[-1])}"
    return "query" if getattr(kind, "__name__", "") == "SqlQuery" else kind.__name__


def format_bounds(field: FieldInfo) -> str:
    """Return the bounds of a setting, or an empty text."""
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join(bounds)


def format_default(field: FieldInfo) -> str:
    """Return the default of a setting as TOML would show it, or "none"."""
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{each}"' if isinstance(each, str) else str(each) for each in value) + "]"
    return "{}" if value == {} else str(value)


def render_section(name: str, model: type[BaseModel]) -> list[str]:
    """Return one section as reStructuredText: a heading, its purpose, a table of its settings."""
    title = f"[{name}]" if name else "Top level"
    summary = (model.__doc__ or "").strip().splitlines()[0]
    lines = [title, "-" * len(title), "", summary, ""]
    rows = list(list_settings(model))
    if not rows:
        return lines
    lines += [".. list-table::", "   :header-rows: 1", "   :widths: 22 20 12 16 30", ""]
    head = ("setting", "type", "bounds", "default", "meaning")
    cells = [head] + [
        (
            f"``{key}``",
            format_type(field.annotation),
            format_bounds(field),
            f"``{format_default(field)}``",
            (field.description or "").replace("`", "``"),
        )
        for key, field in rows
    ]
    for row in cells:
        lines += [f"   {'* -' if i == 0 else '  -'} {text}" for i, text in enumerate(row)]
    return [*lines, ""]


class SettingsReference(Directive):
    """Insert one table per section of ``expansion.toml``."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed tables."""
        lines: list[str] = []
        for name, model in list_sections(Settings):
            lines += render_section(name, model)
        source = str(Path(__file__))
        container = nodes.section()
        container.document = self.state.document
        self.state.nested_parse(
            StringList(lines, source=source), self.content_offset, container, match_titles=True
        )
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("settings-reference", SettingsReference)
    return {"parallel_read_safe": True}
