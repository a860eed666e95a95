"""Checks the state of a CRM against the desired one, independently of the sender's code."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa

TABLES = {"account": ("accounts", "account_id"), "opportunity": ("opportunities", "key")}
TABLES["task"] = ("tasks", "key")
# (kind, key, field) → the value that a human set
Edits = dict[tuple[str, str, str], Any]


@dataclass
class Verdict:
    """Counts of lost, duplicated, overwritten and wrong objects or fields."""

    lost: int = 0
    duplicated: int = 0
    overwritten: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not (self.lost or self.duplicated or self.overwritten or self.wrong)

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.overwritten + other.overwritten,
            self.wrong + other.wrong,
            self.examples + other.examples,
        )


CrmState = list[tuple[str, str, Mapping[str, Any]]]


def read_sql_state(engine: sa.Engine) -> CrmState:
    """Return every row of the embedded CRM: kind, key, fields; dates as text."""
    state: CrmState = []
    with engine.connect() as connection:
        for kind, (table, key) in TABLES.items():
            for row in connection.execute(sa.text(f"select * from {table}")).mappings():
                fields = {name: _to_text(value) for name, value in row.items()}
                state.append((kind, str(row[key]), fields))
    return state


def read_http_state(objects: Mapping[str, Mapping[str, Any]]) -> CrmState:
    return [
        (kind, key, each["fields"])
        for kind, objects_by_key in objects.items()
        for key, each in objects_by_key.items()
    ]


def check_state(desired: Iterable[Mapping[str, Any]], state: CrmState, edits: Edits) -> Verdict:
    """Compare the CRM's state with the desired one and with the human edits."""
    verdict = Verdict()
    copies = Counter((kind, key) for kind, key, _ in state)
    verdict.duplicated = sum(count - 1 for count in copies.values())
    live = {(kind, key): fields for kind, key, fields in state}
    for row in desired:
        name = (row["kind"], row["key"])
        if name not in live:
            verdict.lost += 1
            verdict.examples.append(f"{name} is missing")
            continue
        for field_, value in row["fields"].items():
            _check_field(verdict, (*name, field_), value, live[name].get(field_), edits)
        del live[name]
    verdict.duplicated += len(live)
    verdict.examples += [f"{name} is unexpected" for name in live]
    return verdict


def _check_field(
    verdict: Verdict, name: tuple[str, str, str], desired: Any, live: Any, edits: Edits
) -> None:
    if name in edits:
        if live != edits[name]:
            verdict.overwritten += 1
            verdict.examples.append(f"{name}: a human set {edits[name]!r}, found {live!r}")
    elif live != desired:
        verdict.wrong += 1
        verdict.examples.append(f"{name}: expected {desired!r}, found {live!r}")


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, date) else value
