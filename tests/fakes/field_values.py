"""Hypothesis strategies for the values of the CRM fields."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from hypothesis import strategies as st

from serving.delivery.crm.base import Kind
from serving.delivery.crm.fields import FIELDS

_VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "text": st.text(max_size=40),
    "multiline": st.text(max_size=40),
    "number": st.floats(-1e9, 1e9),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "date": st.dates(date(1971, 1, 1), date(2100, 1, 1)).map(str),
    "boolean": st.booleans(),
}


def value_of(
    kind: Kind, name: str, types: Mapping[str, st.SearchStrategy[Any]] = _VALUES
) -> st.SearchStrategy[Any]:
    """Return a strategy for one field, or for its absence; ``types`` replace those by type."""
    field_type = FIELDS[kind][name].type
    return st.none() | types.get(field_type, _VALUES[field_type])


def fields_of(
    kind: Kind,
    types: Mapping[str, st.SearchStrategy[Any]] = _VALUES,
    **overrides: st.SearchStrategy[Any],
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for some fields of an object; ``overrides`` are by name."""
    optional = {name: value_of(kind, name, types) for name in FIELDS[kind]}
    given = {name: st.none() | values for name, values in overrides.items() if name in optional}
    return st.fixed_dictionaries({}, optional=optional | given)
