"""Read and validate a company's template file, so that rendering cannot fail in the weekly job."""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import jinja2

from data.errors import SettingsError
from features.catalogue import REASON_GROUPS
from features.catalogue.reason_templates import load_default

__all__ = ["check_names", "read_template_file", "smoke_test_templates", "translate_template_errors"]

_DIRECTIONS: Final = ("increases", "decreases")
_SMOKE_TEST_VALUES: Final = (None, 0.0, 0.3, 0.95, 1.0, 2.0, 45.0, 1204.0)


def read_template_file(path: Path) -> dict[str, Any]:
    """Read the tables of a template file and check their names and types.

    Raises
    ------
    data.errors.SettingsError
        If the file is not valid TOML, or a name or type is wrong.
    """
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


def check_names(names: Iterable[str], allowed: Iterable[str], location: str) -> None:
    """Raise an error for an unknown name and suggest the closest valid one."""
    allowed_names = list(allowed)
    for name in sorted(set(names) - set(allowed_names)):
        nearest = difflib.get_close_matches(name, allowed_names, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{location}: unknown name {name}. Did you mean {nearest}?")


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


def smoke_test_templates(
    templates: Mapping[tuple[str, Any], Callable[..., str]], source: str
) -> None:
    """Render every template with a range of values, so that errors show at load time."""
    for (group, direction), template in templates.items():
        required_features = template.required_features  # type: ignore[attr-defined]
        with translate_template_errors(f"{source}: {group}.{direction}"):
            for first in range(len(_SMOKE_TEST_VALUES)):
                for step in (0, 1, 3):
                    template(
                        tuple(
                            _SMOKE_TEST_VALUES[(first + step * index) % len(_SMOKE_TEST_VALUES)]
                            for index in range(len(required_features))
                        )
                    )


def _check_type(value: object, expected_type: type, location: str) -> None:
    descriptions = {"str": "a quoted string", "dict": "a table", "list": "a list of two strings"}
    is_noun_pair = not isinstance(value, list) or [type(noun) for noun in value] == [str, str]
    if not (isinstance(value, expected_type) and is_noun_pair):
        raise SettingsError(
            f"{location}: expected {descriptions[expected_type.__name__]}; found {value!r}."
        )
