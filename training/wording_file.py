"""A company's file of sentences, checked when it is read: nothing of it can fail on a Monday."""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import jinja2

from data.errors import SettingsError
from features.catalogue import STORIES
from features.catalogue.sentences import default

__all__ = ["read", "refuse_unknown", "refusing", "tried"]

_WAYS: Final = ("raises", "holds")
_NUMBERS: Final = (None, 0.0, 0.3, 0.95, 1.0, 2.0, 45.0, 1204.0)


def read(path: Path) -> dict[str, Any]:
    """Read the tables of a file, each of a name and a kind that there is.

    Raises
    ------
    data.errors.SettingsError
        In one sentence, if not.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"scoring.sentences: {path} cannot be read as TOML: {error}. Start from"
            " `expansion features --sentences`."
        ) from None
    refuse_unknown(tables, ("shared", "words", *STORIES), path.name)
    for name, told in tables.items():
        if name == "shared":
            _refuse_other(told, str, f"{path.name}: shared")
            continue
        _refuse_other(told, dict, f"{path.name}: {name}")
        known = default()["words"] if name == "words" else dict.fromkeys(_WAYS, "")
        refuse_unknown(told, known, f"{path.name}: {name}")
        for key, value in told.items():
            _refuse_other(value, type(known[key]), f"{path.name}: {name}.{key}")
    return tables


def refuse_unknown(found: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse a name that there is not, with the nearest that there is."""
    names = list(known)
    for name in sorted(set(found) - set(names)):
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{where}: there is no {name}. Did you mean {nearest}?")


@contextmanager
def refusing(where: str) -> Iterator[None]:
    """Turn a template's fault into one sentence."""
    try:
        yield
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise SettingsError(
            f"{where}: not a template that can be told: {error}. Mend it, or leave it out for the"
            " default."
        ) from None


def tried(sentences: Mapping[tuple[str, Any], Callable[..., str]], name: str) -> None:
    """Tell every sentence of every kind of number, so that none fails later."""
    for (story, way), sentence in sentences.items():
        facts = sentence.facts  # type: ignore[attr-defined]
        with refusing(f"{name}: {story}.{way}"):
            for first in range(len(_NUMBERS)):
                for step in (0, 1, 3):
                    sentence(
                        tuple(
                            _NUMBERS[(first + step * place) % len(_NUMBERS)]
                            for place in range(len(facts))
                        )
                    )


def _refuse_other(value: object, kind: type, where: str) -> None:
    named = {"str": "a text in quotes", "dict": "a table", "list": "a list of two nouns"}
    nouns = not isinstance(value, list) or [type(noun) for noun in value] == [str, str]
    if not (isinstance(value, kind) and nouns):
        raise SettingsError(f"{where}: expected {named[kind.__name__]}; found {value!r}.")
