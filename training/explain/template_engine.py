"""The engine of every text that a CSM reads: Jinja templates in a sandbox, checked when loaded.

A company may supply its own templates, so rendering must not fail in the weekly job. Each template
is rendered with plausible values at load time, and any error becomes one sentence.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.errors import SettingsError
from training.explain.number_format import UnknownValueError

__all__ = [
    "CompiledTemplate",
    "check_names",
    "compile_template",
    "create_environment",
    "translate_template_errors",
]


@dataclass(frozen=True, eq=False)
class CompiledTemplate:
    """A compiled template and the names of the values it reads."""

    template: jinja2.Template
    variables: tuple[str, ...]

    def render(self, values: Iterable[object]) -> str:
        """Render the template with one value per variable."""
        return self.template.render(zip(self.variables, values, strict=True))


def create_environment(
    functions: Mapping[str, Callable[..., str]], macros: str = ""
) -> jinja2.Environment:
    """Create a sandbox whose only names are the functions and the macros."""
    # Plain text for a CRM field; HTML pages escape it themselves.
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.globals.clear()
    environment.globals.update(functions)
    module = environment.from_string(macros).module
    environment.globals.update(
        {name: value for name, value in vars(module).items() if not name.startswith("_")}
    )
    return environment


def compile_template(
    environment: jinja2.Environment,
    text: str,
    *,
    variables: Iterable[str],
    samples: Sequence[Any],
    location: str,
) -> CompiledTemplate:
    """Compile a template, check its variables, and render it with sample values.

    ``variables`` are the names that it may read, ``samples`` plausible values of any of them, and
    ``location`` is its file or setting and its name, for messages.

    Raises
    ------
    data.errors.SettingsError
        If the template does not compile, reads an unknown name, or fails on the samples.
    """
    with translate_template_errors(location):
        names = jinja2.meta.find_undeclared_variables(environment.parse(text))
        template = environment.from_string(text)
    compiled = CompiledTemplate(template, tuple(sorted(names - set(environment.globals))))
    check_names(compiled.variables, variables, location)
    with translate_template_errors(location):
        for first in range(len(samples)):
            for step in (0, 1, 3):
                with suppress(UnknownValueError):
                    compiled.render(
                        samples[(first + step * index) % len(samples)]
                        for index in range(len(compiled.variables))
                    )
    return compiled


def check_names(names: Iterable[str], allowed: Iterable[str], location: str) -> None:
    """Raise an error for an unknown name and suggest the closest valid one."""
    allowed_names = list(allowed)
    for name in sorted(set(names) - set(allowed_names)):
        nearest = difflib.get_close_matches(name, allowed_names, n=1, cutoff=0.0)
        hint = f"Did you mean {nearest[0]}?" if nearest else "No name is available here."
        raise SettingsError(f"{location}: unknown name {name}. {hint}")


@contextmanager
def translate_template_errors(location: str) -> Iterator[None]:
    """Convert an error of the template engine to a one-line settings error."""
    try:
        yield
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise SettingsError(
            f"{location}: the template cannot be rendered: {error}. Fix it, or remove it to use the"
            " default."
        ) from None
