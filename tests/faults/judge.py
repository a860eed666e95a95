"""Looks at what stands in a CRM, without any of the sender's code, and says what is wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa

_TABLES = {"account": ("accounts", "account_id"), "opportunity": ("opportunities", "key")}
_TABLES["task"] = ("tasks", "key")
# (kind, key, field) → what a human put there
Edits = dict[tuple[str, str, str], Any]


@dataclass
class Verdict:
    """Objects and fields of which something is wrong."""

    lost: int = 0
    doubled: int = 0
    overwritten: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not (self.lost or self.doubled or self.overwritten or self.wrong)

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.overwritten + other.overwritten,
            self.wrong + other.wrong,
            self.examples + other.examples,
        )


Standing = list[tuple[str, str, Mapping[str, Any]]]


def standing_in_sql(engine: sa.Engine) -> Standing:
    """Every row of the embedded CRM: kind, key, fields; days as text."""
    found: Standing = []
    with engine.connect() as connection:
        for kind, (table, key) in _TABLES.items():
            for row in connection.execute(sa.text(f"select * from {table}")).mappings():
                told = {name: _plain(value) for name, value in row.items()}
                found.append((kind, str(row[key]), told))
    return found


def standing_over_http(objects: Mapping[str, Mapping[str, Any]]) -> Standing:
    return [
        (kind, key, each["fields"]) for kind, kept in objects.items() for key, each in kept.items()
    ]


def judged(wanted: Iterable[Mapping[str, Any]], stands: Standing, edits: Edits) -> Verdict:
    """Hold what stands against what was wanted, and against what humans put there."""
    verdict = Verdict()
    copies = Counter((kind, key) for kind, key, _ in stands)
    verdict.doubled = sum(count - 1 for count in copies.values())
    there = {(kind, key): fields for kind, key, fields in stands}
    for row in wanted:
        name = (row["kind"], row["key"])
        if name not in there:
            verdict.lost += 1
            verdict.examples.append(f"{name} is not there")
            continue
        for field_, value in row["fields"].items():
            _hold(verdict, (*name, field_), value, there[name].get(field_), edits)
        del there[name]
    verdict.doubled += len(there)
    verdict.examples += [f"{name} is too many" for name in there]
    return verdict


def _hold(
    verdict: Verdict, name: tuple[str, str, str], wanted: Any, stands: Any, edits: Edits
) -> None:
    if name in edits:
        if stands != edits[name]:
            verdict.overwritten += 1
            verdict.examples.append(f"{name}: a human put {edits[name]!r}, found {stands!r}")
    elif stands != wanted:
        verdict.wrong += 1
        verdict.examples.append(f"{name}: wanted {wanted!r}, found {stands!r}")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, date) else value
