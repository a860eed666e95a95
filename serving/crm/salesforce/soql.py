"""Salesforce's query language: values are quoted by its client, names are ours."""

from __future__ import annotations

from collections.abc import Sequence

from simple_salesforce.format import format_soql

__all__ = ["among", "equals", "select"]


def select(fields: Sequence[str], sobject: str, *conditions: str, end: str = "") -> str:
    r"""Say a query; all conditions hold.

    Examples
    --------
    >>> select(["Id"], "Task", equals("Status", "It's done"), among("Id", ["a", "b"]))
    "SELECT Id FROM Task WHERE Status = 'It\\'s done' AND Id IN ('a','b')"
    """
    where = ["WHERE", " AND ".join(conditions)] if conditions else []
    return " ".join(["SELECT", ", ".join(fields), "FROM", sobject, *where, end]).rstrip()


def equals(field: str, value: str) -> str:
    """Say that a field has a value."""
    return field + format_soql(" = {}", value)


def among(field: str, values: Sequence[str]) -> str:
    """Say that a field has one of some values."""
    return field + format_soql(" IN {}", list(values))
