"""Sphinx directive ``settings-reference``: a list of every setting, generated from the models."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx

from data.config.settings import Settings

_TYPE_NAMES = {
    "bool": "true or false",
    "float": "number",
    "int": "whole number",
    "str": "text",
    "SecretStr": "secret",
    "SqlQuery": "query",
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def list_sections(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
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


def format_type(kind: object) -> str:
    """Return a type as a user would write it.

    Examples
    --------
    >>> format_type(tuple[str, ...]), format_type(Literal["csv", "parquet"])
    ('list of text', '"csv" or "parquet"')
    >>> format_type(int | None), format_type(Mapping[str, float])
    ('whole number', 'table of number')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None:
        name = getattr(kind, "__name__", str(kind))
        return _TYPE_NAMES.get(name, name)
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(format_type(each) for each in arguments if each is not type(None))
    if origin is Annotated:
        return format_type(arguments[0])
    container = "list" if origin is tuple else "table"
    return f"{container} of {format_type(arguments[0 if origin is tuple else -1])}"


def format_bounds(field: FieldInfo) -> str:
    """Return the bounds of a setting, or an empty text."""
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join(bounds)


def format_value(value: object) -> str:
    """Return a value as TOML would show it.

    Examples
    --------
    >>> format_value((14, 30)), format_value({"retain": 90.0}), format_value(True)
    ('[14, 30]', '{ retain = 90.0 }', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, Mapping):
        items = ", ".join(f"{key} = {format_value(item)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    return str(value)


def format_setting(key: str, field: FieldInfo) -> list[str]:
    """Return one setting as an entry of a Markdown definition list."""
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined:
        default_text = "no default" if default is None else "required"
    else:
        default_text = f"default `{format_value(default)}`"
    facts = [format_type(field.annotation), format_bounds(field), default_text]
    meaning = [f"{field.description}\\\n  "] if field.description else []
    return [f"`{key}`", f": {''.join(meaning)}{'; '.join(fact for fact in facts if fact)}", ""]


def render_section(name: str, model: type[BaseModel]) -> list[str]:
    """Return one section as Markdown: a heading, its purpose, its settings."""
    summary = (model.__doc__ or "").strip().splitlines()[0].replace("``", "`")
    lines = [f"## [{name}]", "", summary, ""] if name else ["## Top level", ""]
    for key, field in list_settings(model):
        lines += format_setting(key, field)
    return lines


class SettingsReference(Directive):
    """Insert one list of settings per section of ``expansion.toml``, into a Markdown page."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed sections."""
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
