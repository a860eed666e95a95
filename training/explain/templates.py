"""Reason templates: load, validate and render the wording of each reason group."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from math import nan
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from data.errors import SettingsError
from features.catalogue import FEATURE_NAMES, REASON_GROUPS
from features.catalogue.reason_templates import load_default
from training.explain.number_format import NumberFormat, UnknownValueError
from training.explain.template_engine import (
    CompiledTemplate,
    check_names,
    compile_template,
    create_environment,
    translate_template_errors,
)

__all__ = ["Direction", "ReasonTemplates", "load_default_templates", "load_templates"]

Direction: TypeAlias = Literal["increases", "decreases"]
_DIRECTIONS: Final[tuple[Direction, ...]] = ("increases", "decreases")
_SAMPLES: Final = (nan, 0.0, 0.3, 0.95, 1.0, 2.0, 45.0, 1204.0)
_CACHE_SIZE: Final = 1 << 20  # rendered texts; counts repeat across accounts


@dataclass(frozen=True)
class ReasonTemplates:
    """The compiled templates of every reason group, and the number format of their language."""

    templates: Mapping[tuple[str, Direction], CompiledTemplate] = field(repr=False)
    number_format: NumberFormat = field(repr=False)
    name: str = "the default templates"

    def __repr__(self) -> str:
        return f"ReasonTemplates({len(self.templates)} templates from {self.name})"

    def render(
        self, group: str, features: Mapping[str, float | None], direction: Direction = "increases"
    ) -> str:
        """Render a reason with its numbers; empty if there is nothing to show.

        ``group`` is a key of :data:`features.catalogue.REASON_GROUPS`.

        Examples
        --------
        >>> features = {"active_seats": 41.0, "licensed_seats": 45.0, "active_seats_90d_ago": 27.0}
        >>> features = dict.fromkeys(FEATURE_NAMES) | features | {"seat_utilization": 41 / 45}
        >>> load_default_templates().render("seats", features)
        '41 of 45 seats active, up from 27 three months ago'
        """
        values = tuple(features[name] for name in self.required_features(group, direction))
        return self.render_many(group, direction, [values])[0]

    def required_features(self, group: str, direction: Direction) -> tuple[str, ...]:
        """Return the names of the features that a template reads."""
        template = self.templates.get((group, direction))
        return () if template is None else template.variables

    def render_many(
        self, group: str, direction: Direction, rows: Sequence[tuple[float | None, ...]]
    ) -> list[str]:
        """Render the reason of many snapshots, given their values of :meth:`required_features`."""
        template = self.templates.get((group, direction))
        if template is None:
            return [""] * len(rows)
        return [self._cached_render(template, values) for values in rows]

    @cached_property
    def _cached_render(self) -> Callable[[CompiledTemplate, tuple[float | None, ...]], str]:
        return lru_cache(_CACHE_SIZE)(_render_reason)


def _render_reason(template: CompiledTemplate, values: tuple[float | None, ...]) -> str:
    """Render a reason; empty if no case applies or if an unknown value would be shown."""
    try:
        text = template.render(nan if value is None else value for value in values)
    except UnknownValueError:
        return ""
    text = " ".join(text.split()).replace(" ,", ",")
    return text[:1].upper() + text[1:]


@cache
def load_default_templates() -> ReasonTemplates:
    """Load the templates that come with the program."""
    return _compile_templates(load_default(), "the default templates")


def load_templates(path: Path | None) -> ReasonTemplates:
    """Load a company's own templates; missing entries fall back to the defaults.

    ``path`` is a TOML file as ``expansion features --reason-templates`` prints it; None loads the
    defaults.

    Raises
    ------
    data.errors.SettingsError
        If the file cannot be read, contains an unknown name, or contains a template that does not
        compile, reads an unknown feature, or fails on plausible numbers.
    """
    if path is None:
        return load_default_templates()
    base = load_default()
    merged = {
        name: {**base.get(name, {}), **entries} if isinstance(entries, dict) else entries
        for name, entries in _read_template_file(path).items()
    }
    return _compile_templates({**base, **merged}, path.name)


def _compile_templates(tables: Mapping[str, Any], name: str) -> ReasonTemplates:
    number_format = NumberFormat.from_config(tables["number_format"])
    with translate_template_errors(f"{name}: macros"):
        environment = create_environment(number_format.get_template_functions(), tables["macros"])
    compiled = {
        (group, direction): compile_template(
            environment,
            tables[group][direction],
            variables=FEATURE_NAMES,
            samples=_SAMPLES,
            location=f"{name}: {group}.{direction}",
        )
        for group in REASON_GROUPS
        for direction in _DIRECTIONS
        if tables.get(group, {}).get(direction, "").strip()
    }
    return ReasonTemplates(compiled, number_format, name)


def _read_template_file(path: Path) -> dict[str, Any]:
    """Read the tables of a template file and check their names and types."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"scoring.reason_templates: {path} cannot be read as TOML: {error}. Start from"
            " `expansion features --reason-templates`."
        ) from None
    check_names(tables, ("macros", "number_format", *REASON_GROUPS), path.name)
    for name, entries in tables.items():
        if name == "macros":
            _check_type(entries, str, f"{path.name}: macros")
            continue
        _check_type(entries, dict, f"{path.name}: {name}")
        allowed = (
            load_default()["number_format"]
            if name == "number_format"
            else dict.fromkeys(_DIRECTIONS, "")
        )
        check_names(entries, allowed, f"{path.name}: {name}")
        for key, value in entries.items():
            _check_type(value, type(allowed[key]), f"{path.name}: {name}.{key}")
    return tables


def _check_type(value: object, expected_type: type, location: str) -> None:
    descriptions = {"str": "a quoted string", "dict": "a table", "list": "a list of two strings"}
    is_noun_pair = not isinstance(value, list) or [type(noun) for noun in value] == [str, str]
    if not (isinstance(value, expected_type) and is_noun_pair):
        raise SettingsError(
            f"{location}: expected {descriptions[expected_type.__name__]}; found {value!r}."
        )
