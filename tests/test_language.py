"""The language of code and pages: names, docstrings, comments and sentences follow the style rules.

Each rule tolerates a small share of exceptions, because a rule by word lists has false positives.
"""

import ast
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDERS = ("data", "features", "training", "serving", "tests")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"local", "migrations", "templates", "static", "__pycache__"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IRREGULAR_PARTICIPLES = _words(
    """begun bound bought broken brought built caught chosen dealt done drawn driven fallen felt
    forgotten fought found given gone grown heard held hidden kept known laid led left let lost made
    meant met paid risen said seen sent shown sold sought spent spoken stood struck stuck taken
    taught thought told torn understood won written"""
)
INFINITIVES_IN_ED = _words("bed breed embed exceed feed need proceed red seed shed speed")
PREPOSITIONS = _words(
    """above among around at before below beside between by for from in near of on onto over past
    per since to under until upon with within without"""
)
VAGUE_OPENERS = _words(
    """At Give Gives How In Let Lets Of Say Says So Tell Tells What When Where Whether Which Who
    Whom Whose Why"""
)
ARCHAIC = re.compile(
    r"\b(anew|beside|bears out|heed|hereby|lest|may be believed|mend(s|ed)?|nothing is (said|told)"
    r"|of (late|which|whom)|own up|(are|is|was) told|said of|says of|so (long as it|many)"
    r"|stands? (at|for itself|in|there)|stood (at|there)|tells of|thereof|told of"
    r"|who(ever|mever)|whichever)\b",
    re.IGNORECASE,
)


class Located(NamedTuple):
    """A name or a text, with the file and line that hold it."""

    text: str
    location: str


def _modules() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not GENERATED & set(path.relative_to(ROOT).parts):
                yield path


@cache
def _definitions() -> list[tuple[Definition, str]]:
    """Return every module, class and function with its location."""
    return [
        (node, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}")
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, Definition)
    ]


@cache
def _functions() -> list[Located]:
    """Return every function that is neither a test, nor a property, nor prescribed by Python."""
    return [
        Located(node.name.strip("_"), location)
        for node, location in _definitions()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith(("__", "test_"))
        and not any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


@cache
def _docstrings() -> list[Located]:
    return [
        Located(text, location)
        for node, location in _definitions()
        if (text := ast.get_docstring(node))
    ]


@cache
def _comments() -> list[Located]:
    comments = []
    for path in _modules():
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT:
                    location = f"{path.relative_to(ROOT)}:{token.start[0]}"
                    comments.append(Located(token.string, location))
    return comments


def _sentences() -> Iterator[Located]:
    for page in PAGES:
        for text in re.split(r"(?<=[.!?])\s+|\n\n", page.read_text(encoding="utf-8")):
            if text.strip():
                yield Located(" ".join(text.split()), str(page.relative_to(ROOT)))


def _assert_rare(
    items: list[Located], breaks_rule: Callable[[str], bool], max_share: float
) -> None:
    """Fail if too large a share of the names or texts breaks a rule; list some of them."""
    offenders = [item for item in items if breaks_rule(item.text)]
    examples = "\n".join(
        f"  {item.location} {item.text.splitlines()[0][:90]}" for item in offenders[:20]
    )

    assert len(offenders) <= max_share * len(items), (
        f"{len(offenders)} of {len(items)}:\n{examples}"
    )


def _is_participle(name: str) -> bool:
    if "_" in name:
        return False
    regular = name.endswith("ed") and len(name) > 3 and name not in INFINITIVES_IN_ED
    return regular or name in IRREGULAR_PARTICIPLES


def test_most_function_names_are_a_verb_and_an_object() -> None:
    _assert_rare(_functions(), lambda name: "_" not in name, max_share=0.45)


def test_function_names_are_not_participles() -> None:
    _assert_rare(_functions(), _is_participle, max_share=0.015)


def test_function_names_are_not_prepositions() -> None:
    _assert_rare(_functions(), lambda name: name in PREPOSITIONS, max_share=0.005)


def test_docstrings_do_not_open_with_a_question_word_or_a_vague_verb() -> None:
    _assert_rare(
        _docstrings(), lambda text: text.split()[0].strip(".,:;") in VAGUE_OPENERS, max_share=0.01
    )


def test_docstrings_and_comments_are_plain_english() -> None:
    _assert_rare(
        [*_docstrings(), *_comments()], lambda text: bool(ARCHAIC.search(text)), max_share=0.01
    )


def test_the_pages_are_plain_english() -> None:
    _assert_rare(list(_sentences()), lambda text: bool(ARCHAIC.search(text)), max_share=0.01)


def test_a_public_class_name_is_used_once() -> None:
    counts = Counter(
        node.name
        for node, location in _definitions()
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not location.startswith("tests/")
    )

    assert sum(count > 1 for count in counts.values()) <= 3, [
        name for name, count in counts.items() if count > 1
    ]
