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

from features.catalogue import NAMES, STORIES
from features.catalogue.sentences import default as default_file
from training import wording_file, words
from training.words import UnknownValueError

__all__ = ["Way", "Wording", "default", "load"]

Way: TypeAlias = Literal["raises", "holds"]
_KEPT: Final = 1 << 15  # sentences remembered per template


@dataclass(frozen=True)
class Sentence:
    """One template with the facts that it asks for."""

    template: jinja2.Template
    facts: tuple[str, ...]

    @cached_property
    def remembered(self) -> Callable[[tuple[float | None, ...]], str]:
        """The same, without rendering twice: counts repeat from account to account."""
        return lru_cache(_KEPT)(self.__call__)

    def __call__(self, values: tuple[float | None, ...]) -> str:
        """Tell it; empty where no case fits, or where an unknown value would be shown."""
        known = (nan if value is None else value for value in values)
        try:
            told = self.template.render(dict(zip(self.facts, known, strict=True)))
        except UnknownValueError:
            return ""
        told = " ".join(told.split()).replace(" ,", ",")
        return told[:1].upper() + told[1:]


@dataclass(frozen=True)
class Wording:
    """The sentences of every story."""

    sentences: Mapping[tuple[str, Way], Sentence] = field(repr=False)
    name: str = "the default words"

    def __repr__(self) -> str:
        return f"Wording({len(self.sentences)} sentences in {self.name})"

    def tell(self, story: str, facts: Mapping[str, float | None], way: Way = "raises") -> str:
        """Tell a story with its numbers; the empty string where there is nothing to tell.

        Parameters
        ----------
        story : str
            A key of :data:`features.catalogue.STORIES`.
        facts : mapping of str to float or None
            Feature name → value of the snapshot.
        way : {"raises", "holds"}
            Whether it pushed the chance up or down.

        Examples
        --------
        >>> facts = {"active_seats": 41.0, "licensed_seats": 45.0, "active_seats_90d_ago": 27.0}
        >>> facts = dict.fromkeys(NAMES) | facts | {"seat_utilization": 41 / 45}
        >>> default().tell("seats", facts)
        '41 of 45 seats active, up from 27 three months ago'
        """
        found = self.sentences.get((story, way))
        return "" if found is None else found(tuple(facts[name] for name in found.facts))

    def facts(self, story: str, way: Way) -> tuple[str, ...]:
        """Name the features that a sentence asks for."""
        found = self.sentences.get((story, way))
        return () if found is None else found.facts

    def told(self, story: str, way: Way, rows: Sequence[tuple[float | None, ...]]) -> list[str]:
        """Tell a story of many snapshots, each given by the values of :meth:`facts`."""
        found = self.sentences.get((story, way))
        if found is None:
            return [""] * len(rows)
        return [found.remembered(values) for values in rows]


@cache
def default() -> Wording:
    """Give the words that come with the program."""
    return _made(default_file(), "the default words")


def load(path: Path | None) -> Wording:
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
        return default()
    own = wording_file.read(path)
    base = default_file()
    merged = {
        name: {**base.get(name, {}), **told} if isinstance(told, dict) else told
        for name, told in own.items()
    }
    return _made({**base, **merged}, path.name)


def _made(tables: Mapping[str, Any], name: str) -> Wording:
    language = _language(tables, name)
    made = {
        (story, way): _sentence(language, tables[story][way], f"{name}: {story}.{way}")
        for story in STORIES
        for way in ("raises", "holds")
        if tables.get(story, {}).get(way, "").strip()
    }
    wording = Wording(made, name)  # type: ignore[arg-type]
    wording_file.tried(wording.sentences, name)
    return wording


def _language(tables: Mapping[str, Any], name: str) -> jinja2.Environment:
    # Plain text for a CRM field: a page that shows it escapes it there.
    language = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    language.globals.clear()
    language.globals.update(words.of(tables["words"]).functions())
    with wording_file.refusing(f"{name}: shared"):
        macros = language.from_string(tables["shared"]).module
        language.globals.update(
            {key: value for key, value in vars(macros).items() if not key.startswith("_")}
        )
    return language


def _sentence(language: jinja2.Environment, text: str, where: str) -> Sentence:
    with wording_file.refusing(where):
        asked = jinja2.meta.find_undeclared_variables(language.parse(text)) - set(language.globals)
        template = language.from_string(text)
    wording_file.refuse_unknown(asked, NAMES, where)
    return Sentence(template, tuple(sorted(asked)))
