"""Salesforce's query language: values are quoted by its client, names are ours."""

from __future__ import annotations

from collections.abc import Sequence

from simple_salesforce.format import format_soql

__all__ = ["build_query", "equals", "in_list"]


def build_query(fields: Sequence[str], sobject: str, *conditions: str, end: str = "") -> str:
    r"""Say a query; all conditions hold.

    Examples
    --------
    >>> build_query(["Id"], "Task", equals("Status", "It's done"), in_list("Id", ["a", "b"]))
    "SELECT Id FROM Task WHERE Status = 'It\\'s done' AND Id IN ('a','b')"
    """
    where = ["WHERE", " AND ".join(conditions)] if conditions else []
    return " ".join(["SELECT", ", ".join(fields), "FROM", sobject, *where, end]).rstrip()


def equals(field: str, value: str) -> str:
    """Say that a field has a value."""
    return field + format_soql(" = {}", value)


def in_list(field: str, values: Sequence[str]) -> str:
    """Say that a field has one of some values."""
    return field + format_soql(" IN {}", list(values))
