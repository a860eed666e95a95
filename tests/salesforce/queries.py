"""SOQL, as much of it as we ask, held to Salesforce's rules: a query's text → rows of an org."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<sign><=|>=|!=|=|<|>|\(|\)|,)
    | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
    )""",
    re.VERBOSE,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
LONGEST = 100_000
Row = Mapping[str, Any]
Holds = Callable[[Row], bool]


class Malformed(Exception):  # noqa: N818
    """MALFORMED_QUERY, or INVALID_FIELD where ``code`` says so."""

    def __init__(self, words: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(words)
        self.code = code


@dataclass
class Query:
    """What a query asks for."""

    fields: list[str]
    sobject: str
    holds: Holds
    group: str | None
    order: list[str]
    used: list[str]  # fields it filters by


class Parser:
    """One pass over the tokens; ``is_exact`` tells which fields are compared with their case."""

    def __init__(self, soql: str, is_exact: Callable[[str, str], bool]) -> None:
        if len(soql) > LONGEST:
            raise Malformed("SOQL statements cannot be longer than 100000 characters.")
        self.tokens = list(_tokens(soql))
        self.at = 0
        self.is_exact = is_exact
        self.used: list[str] = []
        self.sobject = ""

    def query(self) -> Query:
        self.keyword("SELECT")
        fields = self.names()
        self.keyword("FROM")
        self.sobject = self.word()
        holds: Holds = self.either() if self.taken("WHERE") else lambda _: True
        group = None
        if self.taken("GROUP"):
            self.keyword("BY")
            group = self.word()
        order = []
        if self.taken("ORDER"):
            self.keyword("BY")
            order = self.names()
        if self.at != len(self.tokens):
            raise Malformed(f"unexpected token: {self.tokens[self.at][1]}")
        return Query(fields, self.sobject, holds, group, order, self.used)

    def names(self) -> list[str]:
        names = [self.word()]
        while self.taken(","):
            names.append(self.word())
        return names

    def either(self) -> Holds:
        """All joined by AND, or all by OR: Salesforce wants brackets around a mixture."""
        parts, joint = [self.one()], None
        while (word := self.peek().upper()) in {"AND", "OR"}:
            if joint not in {None, word}:
                raise Malformed(f"unexpected token: {word}")
            joint = word
            self.at += 1
            parts.append(self.one())
        if joint == "OR":
            return lambda row: any(part(row) for part in parts)
        return lambda row: all(part(row) for part in parts)

    def one(self) -> Holds:
        if self.taken("("):
            inner = self.either()
            self.sign(")")
            return inner
        name = self.word()
        self.used.append(name)
        fold = (lambda value: value) if self.is_exact(self.sobject, name) else _folded
        if self.taken("IN"):
            self.sign("(")
            wanted = {fold(self.value())}
            while self.taken(","):
                wanted.add(fold(self.value()))
            self.sign(")")
            return lambda row: fold(row.get(name)) in wanted
        sign, value = self.next("sign"), self.value()
        return lambda row: _compare(sign, fold(row.get(name)), fold(value))

    def value(self) -> Any:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "text":
            return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), text[1:-1])
        if kind == "word" and text.lower() in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[text.lower()]
        if kind == "number":
            return float(text)
        if kind == "time":
            return text.replace("Z", ".000+0000")
        raise Malformed(f"unexpected token: {text}")

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def taken(self, text: str) -> bool:
        if self.peek().upper() != text:
            return False
        self.at += 1
        return True

    def keyword(self, text: str) -> None:
        if not self.taken(text):
            raise Malformed(f"expecting {text}, found '{self.peek()}'")

    def sign(self, text: str) -> None:
        if self.next("sign") != text:
            raise Malformed(f"expecting '{text}'")

    def word(self) -> str:
        return self.next("word")

    def next(self, kind: str) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != kind:
            raise Malformed(f"unexpected token: '{self.peek()}'")
        self.at += 1
        return self.tokens[self.at - 1][1]


def _tokens(soql: str) -> Any:
    at = 0
    while soql[at:].strip():
        match = TOKEN.match(soql, at)
        if match is None:
            raise Malformed(f"line 1:{at} no viable alternative at character '{soql[at]}'")
        at = match.end()
        yield match.lastgroup, match[match.lastgroup or 0]


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign in {"=", "!="}:
        same = left == right or (right is None and left == "")
        return same if sign == "=" else not same
    if left is None or right is None:
        return False
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign]
