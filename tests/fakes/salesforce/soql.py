"""SOQL parser for the subset that we use, with Salesforce's rules: query text → rows of an org."""

import re
from collections.abc import Callable, Iterator, Mapping
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
MAX_QUERY_LENGTH = 100_000
Row = Mapping[str, Any]
Predicate = Callable[[Row], bool]


class MalformedQuery(Exception):  # noqa: N818
    """MALFORMED_QUERY, or INVALID_FIELD if ``code`` says so."""

    def __init__(self, message: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Query:
    """A parsed query."""

    fields: list[str]
    sobject: str
    predicate: Predicate
    group: str | None
    order: list[str]
    filtered_fields: list[str]  # fields used in conditions


class Parser:
    """One-pass parser; ``is_case_sensitive`` returns how a field is compared."""

    def __init__(self, soql: str, is_case_sensitive: Callable[[str, str], bool]) -> None:
        if len(soql) > MAX_QUERY_LENGTH:
            raise MalformedQuery("SOQL statements cannot be longer than 100000 characters.")
        self.tokens = list(_tokenize(soql))
        self.position = 0
        self.is_case_sensitive = is_case_sensitive
        self.filtered_fields: list[str] = []
        self.sobject = ""

    def parse_query(self) -> Query:
        self.expect_keyword("SELECT")
        fields = self.parse_names()
        self.expect_keyword("FROM")
        self.sobject = self.parse_word()
        predicate: Predicate = self.parse_conditions() if self.accept("WHERE") else lambda _: True
        group = None
        if self.accept("GROUP"):
            self.expect_keyword("BY")
            group = self.parse_word()
        order = []
        if self.accept("ORDER"):
            self.expect_keyword("BY")
            order = self.parse_names()
        if self.position != len(self.tokens):
            raise MalformedQuery(f"unexpected token: {self.tokens[self.position][1]}")
        return Query(fields, self.sobject, predicate, group, order, self.filtered_fields)

    def parse_names(self) -> list[str]:
        names = [self.parse_word()]
        while self.accept(","):
            names.append(self.parse_word())
        return names

    def parse_conditions(self) -> Predicate:
        """Parse conditions joined by AND or by OR; a mixture needs brackets."""
        parts, operator_ = [self.parse_condition()], None
        while (word := self.peek().upper()) in {"AND", "OR"}:
            if operator_ not in {None, word}:
                raise MalformedQuery(f"unexpected token: {word}")
            operator_ = word
            self.position += 1
            parts.append(self.parse_condition())
        if operator_ == "OR":
            return lambda row: any(part(row) for part in parts)
        return lambda row: all(part(row) for part in parts)

    def parse_condition(self) -> Predicate:
        if self.accept("("):
            inner = self.parse_conditions()
            self.expect_sign(")")
            return inner
        name = self.parse_word()
        self.filtered_fields.append(name)
        is_exact = self.is_case_sensitive(self.sobject, name)
        fold = _keep_case if is_exact else _fold_case
        if self.accept("IN"):
            self.expect_sign("(")
            allowed = {fold(self.parse_value())}
            while self.accept(","):
                allowed.add(fold(self.parse_value()))
            self.expect_sign(")")
            return lambda row: fold(row.get(name)) in allowed
        sign, value = self.expect_token("sign"), self.parse_value()
        return lambda row: _compare(sign, fold(row.get(name)), fold(value))

    def parse_value(self) -> Any:
        kind, text = self.tokens[self.position]
        self.position += 1
        if kind == "text":
            return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), text[1:-1])
        if kind == "word" and text.lower() in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[text.lower()]
        if kind == "number":
            return float(text)
        if kind == "time":
            return text.replace("Z", ".000+0000")
        raise MalformedQuery(f"unexpected token: {text}")

    def peek(self) -> str:
        return self.tokens[self.position][1] if self.position < len(self.tokens) else ""

    def accept(self, text: str) -> bool:
        if self.peek().upper() != text:
            return False
        self.position += 1
        return True

    def expect_keyword(self, text: str) -> None:
        if not self.accept(text):
            raise MalformedQuery(f"expecting {text}, found '{self.peek()}'")

    def expect_sign(self, text: str) -> None:
        if self.expect_token("sign") != text:
            raise MalformedQuery(f"expecting '{text}'")

    def parse_word(self) -> str:
        return self.expect_token("word")

    def expect_token(self, kind: str) -> str:
        if self.position >= len(self.tokens) or self.tokens[self.position][0] != kind:
            raise MalformedQuery(f"unexpected token: '{self.peek()}'")
        self.position += 1
        return self.tokens[self.position - 1][1]


def _tokenize(soql: str) -> Iterator[tuple[str | None, str]]:
    position = 0
    while soql[position:].strip():
        match = TOKEN.match(soql, position)
        if match is None:
            raise MalformedQuery(
                f"line 1:{position} no viable alternative at character '{soql[position]}'"
            )
        position = match.end()
        yield match.lastgroup, match[match.lastgroup or 0]


def _keep_case(value: Any) -> Any:
    return value


def _fold_case(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign in {"=", "!="}:
        same = left == right or (right is None and left == "")
        return same if sign == "=" else not same
    if left is None or right is None:
        return False
    return bool(
        {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign]
    )
