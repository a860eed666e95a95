"""The sentences of the stories, in the words that a company chose: read, checked, and rendered."""

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

Direction: TypeAlias = Literal["raises", "holds"]
_CACHE_SIZE: Final = 1 << 15  # sentences remembered per template


@dataclass(frozen=True)
class CompiledTemplate:
    """One template with the facts that it asks for."""

    template: jinja2.Template
    required_features: tuple[str, ...]

    @cached_property
    def cached_render(self) -> Callable[[tuple[float | None, ...]], str]:
        """The same, without rendering twice: counts repeat from account to account."""
        return lru_cache(_CACHE_SIZE)(self.__call__)

    def __call__(self, values: tuple[float | None, ...]) -> str:
        """Tell it; empty where no case fits, or where an unknown value would be shown."""
        numbers = (nan if value is None else value for value in values)
        try:
            text = self.template.render(dict(zip(self.required_features, numbers, strict=True)))
        except UnknownValueError:
            return ""
        text = " ".join(text.split()).replace(" ,", ",")
        return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class ReasonTemplates:
    """The sentences of every story."""

    templates: Mapping[tuple[str, Direction], CompiledTemplate] = field(repr=False)
    name: str = "the default words"

    def __repr__(self) -> str:
        return f"Wording({len(self.templates)} sentences in {self.name})"

    def render(
        self, group: str, features: Mapping[str, float | None], direction: Direction = "raises"
    ) -> str:
        """Tell a story with its numbers; the empty string where there is nothing to tell.

        Parameters
        ----------
        group : str
            A key of :data:`features.catalogue.STORIES`.
        features : mapping of str to float or None
            Feature name → value of the snapshot.
        direction : {"raises", "holds"}
            Whether it pushed the chance up or down.

        Examples
        --------
        >>> facts = {"active_seats": 41.0, "licensed_seats": 45.0, "active_seats_90d_ago": 27.0}
        >>> facts = dict.fromkeys(NAMES) | facts | {"seat_utilization": 41 / 45}
        >>> load_default_templates().render("seats", facts)
        '41 of 45 seats active, up from 27 three months ago'
        """
        template = self.templates.get((group, direction))
        return (
            ""
            if template is None
            else template(tuple(features[name] for name in template.required_features))
        )

    def required_features(self, group: str, direction: Direction) -> tuple[str, ...]:
        """Name the features that a sentence asks for."""
        template = self.templates.get((group, direction))
        return () if template is None else template.required_features

    def render_many(
        self, group: str, direction: Direction, rows: Sequence[tuple[float | None, ...]]
    ) -> list[str]:
        """Tell a story of many snapshots, each given by the values of :meth:`facts`."""
        template = self.templates.get((group, direction))
        if template is None:
            return [""] * len(rows)
        return [template.cached_render(values) for values in rows]


@cache
def load_default_templates() -> ReasonTemplates:
    """Give the words that come with the program."""
    return _compile_templates(default_file(), "the default words")


def load_templates(path: Path | None) -> ReasonTemplates:
    """Read a company's own words; what its file leaves out stays as it is.

    Parameters
    ----------
    path : pathlib.Path or None
        A TOML file as ``expansion features --sentences`` prints it; None gives the default words.

    Raises
    ------
    data.errors.SettingsError
        If the file cannot be read, names a story or a word that there is not, or holds a template
        that is not one, asks for a feature that there is not, or fails on possible numbers.
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
        for direction in ("raises", "holds")
        if tables.get(group, {}).get(direction, "").strip()
    }
    reason_templates = ReasonTemplates(compiled, name)  # type: ignore[arg-type]
    template_file.smoke_test_templates(reason_templates.templates, name)
    return reason_templates


def _build_environment(tables: Mapping[str, Any], name: str) -> jinja2.Environment:
    # Plain text for a CRM field: a page that shows it escapes it there.
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.globals.clear()
    environment.globals.update(
        number_format.parse_number_format(tables["words"]).get_template_functions()
    )
    with template_file.translate_template_errors(f"{name}: shared"):
        macros = environment.from_string(tables["shared"]).module
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
