"""Reason templates: load, validate and render the wording of each reason group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from math import nan
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from features.catalogue import FEATURE_NAMES, REASON_GROUPS
from features.catalogue.reason_templates import load_default as default_file
from training.explain import number_format, template_file
from training.explain.number_format import UnknownValueError

__all__ = ["Direction", "ReasonTemplates", "load_default_templates", "load_templates"]

Direction: TypeAlias = Literal["increases", "decreases"]
_CACHE_SIZE: Final = 1 << 15  # rendered texts cached per template


@dataclass(frozen=True)
class CompiledTemplate:
    """One compiled template and the features it reads."""

    template: jinja2.Template
    required_features: tuple[str, ...]

    @cached_property
    def cached_render(self) -> Callable[[tuple[float | None, ...]], str]:
        """The template's render function with an LRU cache; counts repeat across accounts."""
        return lru_cache(_CACHE_SIZE)(self.__call__)

    def __call__(self, values: tuple[float | None, ...]) -> str:
        """Render the template; empty if no case applies or if an unknown value would be shown."""
        numbers = (nan if value is None else value for value in values)
        try:
            text = self.template.render(dict(zip(self.required_features, numbers, strict=True)))
        except UnknownValueError:
            return ""
        text = " ".join(text.split()).replace(" ,", ",")
        return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class ReasonTemplates:
    """The compiled templates of every reason group."""

    templates: Mapping[tuple[str, Direction], CompiledTemplate] = field(repr=False)
    name: str = "the default templates"

    def __repr__(self) -> str:
        return f"ReasonTemplates({len(self.templates)} templates from {self.name})"

    def render(
        self, group: str, features: Mapping[str, float | None], direction: Direction = "increases"
    ) -> str:
        """Render a reason with its numbers; empty if there is nothing to show.

        Parameters
        ----------
        group : str
            A key of :data:`features.catalogue.REASON_GROUPS`.
        features : mapping of str to float or None
            Feature name → value of the snapshot.
        direction : {"increases", "decreases"}
            Effect on the probability: up or down.

        Examples
        --------
        >>> features = {"active_seats": 41.0, "licensed_seats": 45.0, "active_seats_90d_ago": 27.0}
        >>> features = dict.fromkeys(FEATURE_NAMES) | features | {"seat_utilization": 41 / 45}
        >>> load_default_templates().render("seats", features)
        '41 of 45 seats active, up from 27 three months ago'
        """
        template = self.templates.get((group, direction))
        return (
            ""
            if template is None
            else template(tuple(features[name] for name in template.required_features))
        )

    def required_features(self, group: str, direction: Direction) -> tuple[str, ...]:
        """Return the names of the features that a template reads."""
        template = self.templates.get((group, direction))
        return () if template is None else template.required_features

    def render_many(
        self, group: str, direction: Direction, rows: Sequence[tuple[float | None, ...]]
    ) -> list[str]:
        """Render the reason of many snapshots, given their values of :meth:`required_features`."""
        template = self.templates.get((group, direction))
        if template is None:
            return [""] * len(rows)
        return [template.cached_render(values) for values in rows]


@cache
def load_default_templates() -> ReasonTemplates:
    """Load the templates that come with the program."""
    return _compile_templates(default_file(), "the default templates")


def load_templates(path: Path | None) -> ReasonTemplates:
    """Load a company's own templates; missing entries fall back to the defaults.

    Parameters
    ----------
    path : pathlib.Path or None
        A TOML file as ``expansion features --reason-templates`` prints it; None loads the defaults.

    Raises
    ------
    data.errors.SettingsError
        If the file cannot be read, contains an unknown name, or contains a template that does not
        compile, reads an unknown feature, or fails on plausible numbers.
    """
    if path is None:
        return load_default_templates()
    custom = template_file.read_template_file(path)
    base = default_file()
    merged = {
        name: {**base.get(name, {}), **entries} if isinstance(entries, dict) else entries
        for name, entries in custom.items()
    }
    return _compile_templates({**base, **merged}, path.name)


def _compile_templates(tables: Mapping[str, Any], name: str) -> ReasonTemplates:
    environment = _build_environment(tables, name)
    compiled = {
        (group, direction): _compile_template(
            environment, tables[group][direction], f"{name}: {group}.{direction}"
        )
        for group in REASON_GROUPS
        for direction in ("increases", "decreases")
        if tables.get(group, {}).get(direction, "").strip()
    }
    reason_templates = ReasonTemplates(compiled, name)  # type: ignore[arg-type]
    template_file.smoke_test_templates(reason_templates.templates, name)
    return reason_templates


def _build_environment(tables: Mapping[str, Any], name: str) -> jinja2.Environment:
    # Plain text for a CRM field; HTML pages escape it themselves.
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.globals.clear()
    environment.globals.update(
        number_format.parse_number_format(tables["number_format"]).get_template_functions()
    )
    with template_file.translate_template_errors(f"{name}: macros"):
        macros = environment.from_string(tables["macros"]).module
        environment.globals.update(
            {key: value for key, value in vars(macros).items() if not key.startswith("_")}
        )
    return environment


def _compile_template(
    environment: jinja2.Environment, text: str, location: str
) -> CompiledTemplate:
    with template_file.translate_template_errors(location):
        variables = jinja2.meta.find_undeclared_variables(environment.parse(text)) - set(
            environment.globals
        )
        template = environment.from_string(text)
    template_file.check_names(variables, FEATURE_NAMES, location)
    return CompiledTemplate(template, tuple(sorted(variables)))
