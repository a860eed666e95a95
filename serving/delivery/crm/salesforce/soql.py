"""SOQL query builder; ``simple-salesforce`` quotes the values."""

from __future__ import annotations

from collections.abc import Sequence

from simple_salesforce.format import format_soql

__all__ = ["build_query", "equals", "in_list"]


def build_query(fields: Sequence[str], sobject: str, *conditions: str, end: str = "") -> str:
    r"""Build a SELECT statement; conditions are joined by AND.

    Examples
    --------
    >>> build_query(["Id"], "Task", equals("Status", "It's done"), in_list("Id", ["a", "b"]))
    "SELECT Id FROM Task WHERE Status = 'It\\'s done' AND Id IN ('a','b')"
    """
    where = ["WHERE", " AND ".join(conditions)] if conditions else []
    return " ".join(["SELECT", ", ".join(fields), "FROM", sobject, *where, end]).rstrip()


def equals(field: str, value: str) -> str:
    """Build an equality condition."""
    return field + format_soql(" = {}", value)


def in_list(field: str, values: Sequence[str]) -> str:
    """Build an IN condition."""
    return field + format_soql(" IN {}", list(values))
